"""The parameters of a choice: who labels the pool (`filters`), by which rule an arm chooses (`arms`), how questions are drawn (`split`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from helpers.study.schema import Count, Name, Seed, Share, Sharing, Strict, Text

SAMPLES = 16  # answers to each question where an arm chooses by pass rate and its filter does not say how many
TEMPERATURE = 1.0  # of these samples
Label = Literal["strict", "tolerant"]


class Filter(Strict):
    """A model that labels the pool. `label`: `strict` (easy is right in the right format, as in the paper) or `tolerant` (right)."""

    model: Text
    samples: Count = 1
    temperature: Annotated[float, Field(ge=0)] = 0.0
    max_new_tokens: Count = 1024
    batch_size: Count = 32
    runs_per_gpu: Sharing = 1
    label: Label = "strict"
    search: bool = False

    @model_validator(mode="after")
    def _samples_differ(self) -> Filter:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError("samples above 1 need a temperature above 0, else all samples are equal")
        return self

    @property
    def answers(self) -> str:
        """How many answers it gives and how they are drawn, in words.

        >>> Filter(model="m").answers, Filter(model="m", samples=16, temperature=1).answers
        ('one greedy answer per question', '16 answers per question at temperature 1')
        """
        if self.temperature == 0:
            return "one greedy answer per question"
        count = "one answer" if self.samples == 1 else f"{self.samples} answers"
        return f"{count} per question at temperature {self.temperature:g}"


class PassRate(Strict):
    """A rule over pass rates: `nearest` to a value; `from` … `to`, at random inside the band; or `lowest`, with more than `above` right."""

    nearest: Share | None = None
    from_: Share | None = Field(None, alias="from")
    to: Share | None = None
    lowest: Literal[True] | None = None
    above: Share | None = None

    @model_validator(mode="after")
    def _one_rule(self) -> PassRate:
        given = self.model_fields_set
        if given not in ({"nearest"}, {"from_", "to"}, {"lowest"}, {"lowest", "above"}):
            raise ValueError(
                "a pass rate is a number or `{nearest: 0.5}`, `{from: 0.2, to: 0.8}` or `{lowest: true, above: 0}`, and one of these"
            )
        if given == {"from_", "to"} and self.from_ > self.to:
            raise ValueError(f"from is {self.from_:g} and to is {self.to:g}; from should be the smaller")
        return self

    def __str__(self) -> str:
        if self.nearest is not None:
            return f"with a pass rate near {self.nearest:g}"
        if self.from_ is not None:
            return f"at random with a pass rate from {self.from_:g} to {self.to:g}"
        return "with the lowest pass rate" + ("" if self.above is None else f" above {self.above:g}")


class Arm(Strict):
    """A way to choose training questions, and what is trained differently with them.

    | keys | choice |
    | --- | --- |
    | `size` | at random |
    | `filter`, `hard`, `easy` | so many of each label |
    | `filter`, `size`, `pass_rate` | by pass rate (`PassRate`; a number is the nearest to it) |
    | `filter`, `size`, `no_zero_variance` | at random, without questions all of whose samples agree |
    | `size`, `longest` | the longest questions, which AlphaMed (arXiv 2505.17952) calls informative |

    `balanced`: the rule is applied within each letter, so that every letter is the right answer of equally many questions (if a number is no
    multiple of the number of letters, the first letters get one more). `label`: the
    reading of the filter's answers that counts, if not the filter's own choice. `train`: keys of the study's `train` that this arm
    changes. `search`: its rollouts may use the study's search tool.
    """

    size: Count | None = None
    filter: Name | None = None
    hard: Annotated[int, Field(ge=0)] | None = None
    easy: Annotated[int, Field(ge=0)] | None = None
    pass_rate: PassRate | None = None
    no_zero_variance: Literal[True] | None = None
    longest: Literal[True] | None = None
    balanced: Literal[True] | None = None
    label: Label | None = None
    train: dict[str, Any] = {}
    search: bool = False

    @field_validator("pass_rate", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return {"nearest": value} if isinstance(value, int | float) and not isinstance(value, bool) else value

    @model_validator(mode="after")
    def _one_kind(self) -> Arm:
        given = {key for key in type(self).model_fields if getattr(self, key) is not None}
        given -= {"balanced", "train", "label", "search"}
        by_filter = [{"hard", "easy"}, {"size", "pass_rate"}, {"size", "no_zero_variance"}]
        if given not in ({"size"}, {"size", "longest"}, *({"filter"} | keys for keys in by_filter)):
            raise ValueError(
                "an arm has either `size` (random) or all of `filter`, `hard` and `easy`, or all of `filter`, `size` and `pass_rate` "
                "or `no_zero_variance`, or `size` and `longest`"
            )
        if self.label and not self.filter:
            raise ValueError("label is the reading of a filter's answers; without a filter leave it out")
        if "hard" in given and self.hard + self.easy == 0:
            raise ValueError("hard and easy are both 0; an arm needs at least one question")
        return self

    @property
    def wanted(self) -> int:
        """Number of training questions."""
        return self.hard + self.easy if self.size is None else self.size

    def shared_among(self, parts: int, place: int) -> Arm:
        """The part number `place` (from 0) of this arm when its questions are taken from so many parts of the pool; the first parts take what
        is left over."""
        counts = {key: getattr(self, key) for key in ("size", "hard", "easy") if getattr(self, key) is not None}
        return self.model_copy(update={key: count // parts + (place < count % parts) for key, count in counts.items()})

    @property
    def needs_samples(self) -> bool:
        """Whether the rule needs several answers of the filter to each question."""
        return self.pass_rate is not None or self.no_zero_variance is not None

    @property
    def rule(self) -> str:
        """The choice in words: how many questions, and by what rule."""
        return self._rule + (", each letter equally often right" if self.balanced else "")

    @property
    def _rule(self) -> str:
        if self.hard is not None:
            return f"{self.hard} hard, {self.easy} easy"
        if self.pass_rate is not None:
            return f"{self.size} {self.pass_rate}"
        if self.no_zero_variance:
            return f"{self.size} at random whose samples do not all agree"
        return f"{self.size} longest" if self.longest else f"{self.size} at random"


class Split(Strict):
    """How questions are drawn, which are dropped because a benchmark has them, and which are held out.

    `draws`: `per_seed` draws the questions of training seed k with draw k, so that a comparison covers the draw; `fixed` trains all
    seeds of an arm on one draw, as the paper did. `exclude_from_held_out`: a file beside the study with one question id a line:
    questions that chose a recipe, which may be trained on but are never held out. `held_out_from`: the split of the pool's data set
    ("validation") that held-out questions are drawn from, instead of the pool itself.
    """

    seed: Seed = 0
    draws: Literal["per_seed", "fixed"] = "per_seed"
    shortage: Literal["stop", "fill"] = "stop"
    overlap_words: Count = 8
    overlap_share: Share = 0.5
    held_out: Annotated[int, Field(ge=0)] = 0
    held_out_from: Text | None = None
    exclude_from_held_out: Text | None = None
