"""All results of a study, read once: the tables and figures of 05_analysis are built from them.

`load` reads the results of steps 01 to 04. Each table is computed when it is first used; `Results.save` writes all of them below
`tables/`, where publishing takes them from.
"""

from __future__ import annotations

from functools import cached_property
from itertools import combinations

import numpy as np
import pandas as pd

from helpers.analysis import (
    answers,
    balance,
    checks,
    claims,
    compare,
    components,
    control,
    index_checks,
    indices,
    lettering,
    mechanism,
    opening,
    plots,
    power,
    primary,
    search_opening,
    searching,
)
from helpers.analysis.evidence import finds
from helpers.analysis.recorded import Recorded, arms_in_words
from helpers.analysis.roles import roles_of
from helpers.analysis.searching import SEARCHES
from helpers.questions.text import LETTERS
from helpers.selection import difficulty, draws
from helpers.study.files import write_table
from helpers.study.study import open_study

TABLES = dict.fromkeys((
    "comparison", "groups", "pairs", "verdict", "without", "components", "common", "guards", "members", "letters", "named", "paper", "reasoning", "duration",
    "agreement", "signal", "predicts", "reflection", "reflection_change", "filter_gap", "search_found", "search_seeds", "search_queries",
    "search_effect", "balance", "balance_letters", "drawn",
)) | {"study": "about", "arms": "arms_in_words", "seeds": "by_seed"}  # fmt: skip
ASSUMED = 0.05  # share of items that change between two models, where this study saw none change


def load(study: str) -> Results:
    """The results of a study, given by name or by path. Raises StudyError in one line if too little has been scored to compare."""
    plots.style()
    return Results(open_study(study))


class Results(Recorded):
    """The tables of one study, on top of what it has recorded. Tables that do not apply to a study are None or empty."""

    # The comparison: each table is what the function of its module returns

    comparison = cached_property(lambda r: compare.comparison(r.scores, r.settings, r.paired, r.controls))
    by_seed = cached_property(lambda r: compare.by_seed(r.scores))
    primary = cached_property(lambda r: primary.rows(r.comparison, r.study.pool.source).head(0 if r.about_search else None))
    twins = cached_property(lambda r: balance.twins({arm: r.study.arms[arm] for arm in r.arms}))
    balance = cached_property(lambda r: balance.effect(r.scores, r.primary, r.twins, r.settings, r.paired, r.controls))
    balance_letters = cached_property(lambda r: balance.letters(r.raw, r.twins, r.settings.confidence))
    groups = cached_property(lambda r: indices.group_changes(r.items, r.settings, r.paired, r.controls))
    sides = cached_property(lambda r: indices.by_group(r.items))
    without = cached_property(lambda r: indices.leave_one_out(r.items, r.settings.confidence, r.paired))
    components = cached_property(lambda r: components.components(r.scores, r.items, r.paired, r.controls))
    regions = cached_property(lambda r: indices.regions(r.sides, r.settings))
    control = cached_property(lambda r: control.positive_control(r.study, r.comparison, r.groups))
    common = cached_property(lambda r: draws.common(r.questions))
    arms_in_words = cached_property(lambda r: arms_in_words(r.study))
    guards = cached_property(lambda r: pd.DataFrame(r.notices, columns=checks.Notice._fields))
    summary = cached_property(lambda r: opening.paragraph(r.verdict, r.study.model.id, r.seeds, r.margin, r.control))

    @cached_property
    def composition(self) -> pd.DataFrame:
        """`draws.composition` of every arm and draw, with the trained model's own pass rates where a filter of the study sampled them."""
        rates = None if self.sampled is None else difficulty.by_question(self.sampled)
        return draws.composition(self.questions, self.study.train.rollouts, rates)

    @property
    def drawn(self) -> pd.DataFrame:
        """`composition` without what needs the questions' texts, which published files lack."""
        return self.composition.drop(columns="characters", errors="ignore")

    @property
    def controls(self) -> list[str]:
        """The negative controls: arms trained on a random reward. Their seeds differ far more than those of other arms."""
        return [arm for arm in self.arms if self.study.training(arm).reward == "random"]

    @property
    def margin(self) -> str:
        """The margin of equivalence, in words."""
        number = f"{100 * self.settings.margin:g}"
        return f"{number} point" if number == "1" else f"{number} points"

    @property
    def stated(self) -> dict[str, str]:
        """What explanations say of this study's tests: the margin of equivalence, and what *detectable* means."""
        return {"margin": self.margin, "finds": finds(self.settings.power, self.settings.confidence)}

    @property
    def counted(self) -> str:
        """The benchmarks of each index, for captions."""
        rows = self.groups.drop_duplicates("group").itertuples()
        return f"Benchmarks: {', '.join(f'{row.benchmarks} of {row.group} ({row.items:,} items)' for row in rows)}."

    @property
    def parts(self) -> pd.DataFrame:
        """The comparison without suites as a whole, whose parts it has."""
        return self.comparison[self.comparison["group"] != "whole"]

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """`indices.pairs`: indices of every two models, second minus first."""
        two = list(combinations(dict.fromkeys(self.scores["arm"]), 2))
        return indices.pairs(self.sides, two, self.settings, self.paired, self.controls)

    @property
    def chance(self) -> float:
        """The share of the pool's questions that guessing gets right; 0 where the answer is a number."""
        letters = self.questions[self.arms[0]]["answer"]
        return 1 / letters.nunique() if letters.isin(list(LETTERS)).all() else 0.0

    @cached_property
    def verdict(self) -> pd.DataFrame:
        """`claims.verdict`: one row per claim."""
        informed = [arm for arm in self.arms if arm not in self.controls]  # no claim is about a negative control
        roles = {arm: role for arm, role in roles_of(self.study).items() if arm in informed}
        rises = self.rises[self.rises["arm"].isin(informed)] if len(self.rises) else self.rises
        knowing = {name for name, rows in self.labels.items() if checks.knows(rows, self.chance)}
        near = {frozenset(pair) for pair in checks.alike(self.common)[["first", "second"]].to_numpy()}
        arms = claims.Arms(roles, knowing, near, self.margin, index_checks.insensitive(self.raw, self.items))
        others = searching.claims(self.search_effect, self.margin)
        margin = self.settings.reflection_margin
        return claims.verdict(self.pairs, self.comparison, rises, arms, margin, self.control, others)

    @cached_property
    def notices(self) -> list[checks.Notice]:
        """The warnings of all checks (`helpers/analysis/checks.py`, `index_checks.py`)."""
        unread = self.settings.unparsed
        found = [line for name, rows in self.labels.items() for line in checks.filter_answers(rows, name, unread, self.chance)]
        chosen = {arm: self.study.arms[arm].model_dump(exclude={"train", "search"}) for arm in self.arms}
        others = [chosen[x] != chosen[y] for x, y in zip(self.common["first"], self.common["second"], strict=True)]
        found += (
            checks.draws(self.questions)
            + checks.arms(self.common.loc[others])
            + checks.contamination(self.split["dropped"], self.pool["rows"])
        )
        found += index_checks.warnings(self.raw, self.items, self.without) + checks.sampling(self.trainings.values())
        if self.sampled is not None:
            rewarded = self.composition[~self.composition["arm"].isin(self.controls)]  # a random reward pays for no letter
            found += checks.letter_pays(rewarded)
        followed = dict(list(self.following.groupby(["arm", "seed"]))) if len(self.following) else {}
        for (arm, seed), log in self.logs.groupby(["arm", "seed"], sort=False):
            run, curve, control = f"{arm}, seed {seed}", followed.get((arm, seed), pd.DataFrame()), arm in self.controls
            found += checks.training(log, run, control) + checks.following(curve, log, run, control)
        found += checks.stopped(self.trainings)
        for model, note in self.effects.items():
            found += checks.trained_weights(note, model)
        for model, rows in self.answers.groupby("model", sort=False):
            found += checks.scores(rows, model, unread)
        return found

    @property
    def about(self) -> pd.DataFrame:
        """One row: the trained model, the pool, seeds per arm, the confidence of intervals, the power that *detectable* has, the smallest difference
        that matters (None if the study states none), the study's question, what the control shows."""
        facts = {
            "model": self.study.model.id,
            "pool": self.study.pool.source,
            "seeds": self.seeds,
            "confidence": self.settings.confidence,
            "power": self.settings.power,
            "effect": self.settings.effect,
            "question": self.study.question,
            "control": self.control.sentence,
        }
        return pd.DataFrame([facts])

    # What could have been detected

    spread = cached_property(lambda r: components.seed_spread(r.scores[~r.scores["arm"].isin(r.controls)]))
    paper = cached_property(lambda r: None if r.study.demonstration else power.paper_table(*r.assumed))
    curve = cached_property(lambda r: power.curve(*r.assumed, own=r.seeds))

    @property
    def discordant(self) -> float:
        """The share of items that is assumed to change between two models: as this study saw it in the median."""
        return self.spread["discordant"] if self.spread["discordant"] > 0 else ASSUMED

    @property
    def assumed(self) -> tuple[float, float, float, float]:
        """What `power.curve` takes: standard deviation between seeds, share of discordant items, level, power."""
        return self.spread["seed_sd"], self.discordant, 1 - self.settings.confidence, self.settings.power

    # How answers were given

    members = cached_property(lambda r: answers.members(r.raw, r.settings.confidence))
    letters = cached_property(lambda r: answers.letters(r.raw))
    named = cached_property(lambda r: lettering.named(r.raw))
    reasoning = cached_property(lambda r: answers.reasoning(r.scores))
    agreement = cached_property(lambda r: answers.agreement(r.labels))

    @cached_property
    def duration(self) -> pd.DataFrame | None:
        """`answers.duration`: held-out questions over the course of training; None if no questions were held out."""
        steps = {arm: self.study.training(arm).steps(self.study.arms[arm].wanted) for arm in self.arms}
        return answers.duration(self.answers, steps)

    # What a search tool was used for, and what it brings; None without one

    about_search = cached_property(lambda r: search_opening.asked(r.arms_in_words))  # with an outcome of its own
    trained_with_search = cached_property(lambda r: [arm for arm in r.arms if r.study.arms[arm].search])
    searched = cached_property(lambda r: searching.searched(r.rollouts, r.raw))
    search_steps = cached_property(lambda r: searching.steps(r.searched) if SEARCHES in r.rollouts else None)
    search_found = cached_property(lambda r: searching.by(r.searched, ["what", "arm"]) if len(r.searched) else None)
    search_seeds = cached_property(lambda r: searching.by(r.searched, ["what", "arm", "seed"]) if len(r.searched) else None)
    search_queries = cached_property(lambda r: searching.queries(r.searched) if len(r.searched) else None)
    search_effect = cached_property(lambda r: searching.effect(r.raw, r.settings, r.trained_with_search, r.paired))

    # Who chose what, and what was learned; None or empty without rollouts, or without pass rates of the trained model

    group_spread = cached_property(lambda r: mechanism.group_spread(r.rollouts) if len(r.rollouts) else pd.DataFrame())
    reflection = cached_property(lambda r: mechanism.reflection(r.rollouts) if len(r.rollouts) else None)

    @property
    def own(self) -> list[str]:
        """Filters that are the trained model itself."""
        return [name for name in self.labels if self.study.filters[name].model == self.study.model.id]

    @property
    def sampled(self) -> pd.DataFrame | None:
        """Labels of the first filter that is the trained model answering several times; None without one."""
        return next(
            (
                self.labels[name]
                for name in self.own
                if self.study.filters[name].samples > 1 and not self.study.filters[name].search
            ),
            None,
        )

    @cached_property
    def rates(self) -> pd.DataFrame:
        """`difficulty.rates`: one row per filter, one column per kind of answer; empty without labels."""
        kinds = {name: difficulty.rates(frame) for name, frame in self.labels.items()}
        return pd.DataFrame(kinds).T

    @cached_property
    def signal(self) -> pd.DataFrame | None:
        """`mechanism.arm_signal`: what each arm's questions can be expected to teach."""
        if self.sampled is None or self.group_spread.empty:
            return None
        expected = mechanism.signal(self.sampled, self.study.train.rollouts)
        return mechanism.arm_signal(expected, self.questions, self.group_spread)

    @cached_property
    def predicts(self) -> pd.DataFrame | None:
        """`mechanism.predicts`: how a filter's label predicts the pass rate."""
        return None if self.sampled is None else mechanism.predicts(self.labels, difficulty.by_question(self.sampled))

    @cached_property
    def rises(self) -> pd.DataFrame:
        """`mechanism.reflection_change`: one row per arm."""
        a = self.settings
        if self.rollouts.empty:
            return pd.DataFrame()
        return mechanism.reflection_change(self.rollouts, np.random.default_rng(a.seed), a.resamples, a.confidence)

    @property
    def reflection_change(self) -> pd.DataFrame:
        """`rises` with the number of training questions, smallest first."""
        sizes = {arm: self.study.arms[arm].wanted for arm in self.arms}
        if not len(self.rises):
            return self.rises
        return self.rises.assign(size=self.rises["arm"].map(sizes)).sort_values("size", ignore_index=True)

    @cached_property
    def filter_gap(self) -> pd.DataFrame | None:
        """Accuracy of each filter minus that of the trained model, beside the changes of its arms; None without another filter."""
        if not self.own or len(self.labels) == len(self.own):
            return None
        chosen = [(arm, self.study.arms[arm].filter) for arm in self.arms if self.study.arms[arm].filter]
        arms = pd.DataFrame(chosen, columns=["arm", "filter"])
        gaps = answers.filter_gap(self.labels, self.own[0])
        return gaps.merge(arms, on="filter", how="left").merge(self.groups, on="arm", how="left")

    def save(self, **others: pd.DataFrame | None) -> None:
        """Write every table that applies to the study below `tables/`. others: tables by name that are computed elsewhere, or None."""
        for name, table in ({name: getattr(self, attribute or name) for name, attribute in TABLES.items()} | others).items():
            if table is not None:
                write_table(table, self.study.path("tables", f"{name}.csv"))
