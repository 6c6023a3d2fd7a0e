"""The role of each arm in the claims: who chose its questions, how it is trained, and which arm is its twin."""

import re
from typing import NamedTuple

from helpers.study.choices import Arm
from helpers.study.study import Study

SIZED = re.compile(r"[-_](\d+(?:\.\d+)?)([bm])(?=[-_]|$)", re.IGNORECASE)

NEAR_HALF = 0.1  # a pass rate of 0.4 to 0.6 counts as near one half


class Role(NamedTuple):
    """The role of an arm in the claims.

    kind: how its questions were chosen: random; by the labels of a filter that is to the trained model self, larger, smaller, same size or
    other family; half (pass rate near one half); or other. method: lora, qlora, full, or other if its training differs in another way. twin:
    the LoRA arm that differs from it by method only. size: number of questions. filter: the one that chose them. hard: the
    share of hard questions, where labels decide.
    """

    kind: str
    method: str = "lora"
    twin: str | None = None
    size: int = 500
    filter: str | None = None
    hard: float | None = None


def relation(filter_model: str, base: str) -> str:
    """How a filter's model relates to the trained one, from their names: self, larger, smaller, same size or other family.

    >>> [relation(name, "google/gemma-3-12b-it") for name in ("google/gemma-3-12b-it", "google/gemma-3-27b-it", "microsoft/phi-4")]
    ['self', 'larger', 'other family']
    """
    if filter_model == base:
        return "self"
    (family, size), (own_family, own_size) = series_and_size(filter_model), series_and_size(base)
    if family != own_family or size is None or own_size is None:
        return "other family"
    return "same size" if size == own_size else "larger" if size > own_size else "smaller"


def series_and_size(model: str) -> tuple[str, float | None]:
    """A model's series and its number of parameters, in millions: google/gemma-3-27b-it → (gemma-3, 27000)."""
    name = model.rsplit("/", 1)[-1].lower()
    found = SIZED.search(name)
    if not found:
        return name, None
    return name[: found.start()], float(found[1]) * (1000 if found[2].lower() == "b" else 1)


def roles_of(study: Study) -> dict[str, Role]:
    """The role of each arm. Arms with the same questions but different training methods are twins; the non-LoRA arm names its LoRA twin."""
    chosen = {arm: spec.model_dump(exclude={"train"}) for arm, spec in study.arms.items()}
    method = {arm: _method(study, arm) for arm in study.arms}
    found = {}
    for arm, spec in study.arms.items():
        twins = (other for other in study.arms if chosen[other] == chosen[arm] and method[other] == "lora")
        hard = spec.hard / spec.wanted if spec.hard is not None else None
        twin = next(twins, None) if method[arm] != "lora" else None
        found[arm] = Role(_kind(study, spec), method[arm], twin, spec.wanted, spec.filter, hard)
    return found


def _kind(study: Study, arm: Arm) -> str:
    if arm.balanced:
        return "other"
    if arm.hard is not None:
        return relation(study.filters[arm.filter].model, study.model.id)
    if arm.pass_rate is not None:
        nearest = arm.pass_rate.nearest
        return "half" if nearest is not None and abs(nearest - 0.5) <= NEAR_HALF else "other"
    return "random" if arm.filter is None and not arm.longest else "other"


def _method(study: Study, arm: str) -> str:
    changed = set(study.arms[arm].train)
    other = study.arms[arm].search or (changed and "method" not in changed)
    return "other" if other else study.training(arm).method
