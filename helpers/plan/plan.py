"""The plan of a study: `python -m helpers.plan.plan STUDY [--gpu 24GB|H100] [--rate 2000]`, or `make plan`.

Jobs, models, data sets, memory, disk, hours and the smallest detectable effects, from the parameters alone: no torch, no network.
"""

import re
import shutil
import textwrap

from helpers.evaluation import task_files
from helpers.plan.cost import LETTERED, OTHER, disk, hours
from helpers.plan.detectable import effects
from helpers.plan.machine import (
    NO_GRADIENT,
    SHARED,
    START_ITEM,
    START_JOB,
    START_TOKEN,
    START_UPDATE,
    Machine,
    machine,
    start_of_token,
)
from helpers.plan.needs import fit, gib, needs, writes_with_vllm
from helpers.plan.sizes import data_rows, model_rows, pool_facts, prompt_tokens, workload
from helpers.study import overrides
from helpers.study.errors import StudyError, entry_point
from helpers.study.study import Study, open_study
from helpers.training import check

WIDTH = 110
MOST_RUNS = 8  # trainings side by side on a GPU; more were not tried


def _number(value: float | None, ending: str = "", digits: int = 1) -> str:
    return "unknown" if value is None else f"{value:,.{digits}f}{ending}"


def _table(rows: list[tuple[str, ...]], right: tuple[int, ...] = ()) -> list[str]:
    """A heading and, indented below it, rows; numbers (places in `right`) to the right, the last column wrapped at the page's width."""
    rows = [rows[0], *(("  " + row[0], *row[1:]) for row in rows[1:])]
    wide = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.rjust(wide[n]) if n in right else cell.ljust(wide[n]) for n, cell in enumerate(row[:-1])]
        start = "  ".join(cells) + "  "
        lines += textwrap.wrap(row[-1], WIDTH, initial_indent=start, subsequent_indent=" " * len(start)) or [start.rstrip()]
    return lines


def _wrap(text: str, indent: str = "  ") -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent)


def report(study: Study, on: Machine, rate: float | None = None) -> str:
    """The plan as text for a terminal; its last line is the conclusion."""
    fits, memory_lines = _memory(study, on)
    space, free, disk_lines = _disk(study)
    whole, hour_lines = _hours(study, on, rate)
    blocks = [_jobs(study), _models(study), _data(study), memory_lines, disk_lines, hour_lines, _detectable(study)]
    if signed := [row["model"] for row in model_rows(study) if row["gated"]]:
        blocks.append([f"To accept first, on the model's page on the hub: {', '.join(signed)}"])
    short = f" ({free:,.0f} GB are free)" if space is not None and space > free else ""
    end = f"{study.name} on {on.name}: {fits}; about {_number(whole)} hours, {_number(space, '', 0)} GB of disk{short}."
    return "\n\n".join([*("\n".join(block) for block in blocks), end])


def _jobs(study: Study) -> list[str]:
    jobs = {"filters": len(study.filters), "splits": len(study.draws()), "trainings": len(study.arms) * len(study.seeds),
            "evaluations": len(study.scored())}  # fmt: skip
    counted = ", ".join(f"{count} {kind}" for kind, count in jobs.items())
    return [f"{study.name}: {study.title}", "", f"Jobs: {counted}, 1 analysis, 1 report: {sum(jobs.values()) + 2} in all."]


def _models(study: Study) -> list[str]:
    rows = [("Models", "parameters", "download", "where", "licence; use")]
    for row in model_rows(study):
        size = _number(row["parameters"] / 1e6, " M", 0) if row["parameters"] else "size unknown"
        about = f"{row['licence']}; {row['use']}"
        rows.append((row["model"], size, _number(row["download"], " GB", 2), row["where"], about))
    return _table(rows, (1, 2))


def _data(study: Study) -> list[str]:
    rows = [("Data sets", "questions", "download", "where", "use")]
    for row in data_rows(study):
        about = _number(row["megabytes"], " MB", 0)
        rows.append((row["data"], _number(row["questions"], "", 0), about, row["where"], row["use"]))
    return _table(rows, (1, 2))


def _memory(study: Study, on: Machine) -> tuple[str, list[str]]:
    """(whether all steps fit, in a few words; a line for each)."""
    rows, steps = [("Memory", "needs", "")], {True: {}, False: {}, None: {}}
    for need in needs(study, on):
        fits, explanation = fit(need, on)
        rows.append((need.step, gib(need.total) if need.total else "unknown", explanation))
        steps[fits][" ".join(need.step.split()[:2])] = None
    _, mean, longest = pool_facts(study)
    reserved = "the CUDA context" if on.gpu else "Python and the system"
    assumed = (
        f"On {on.name}: {gib(on.memory)}, of which {gib(on.reserve)} are reserved for {reserved} and for fragmentation. Assumed: "
        f"training prompts of {prompt_tokens(study, longest)} tokens for the longest question ({prompt_tokens(study, mean)} for the "
        "mean one), completions as long as allowed, one job at a time unless stated."
    )
    unknown_tasks = [task.name for task in study.eval.tasks if workload(study, task) is None]
    left_out = _wrap(f"Not counted, because their sizes are unknown: {', '.join(unknown_tasks)}") if unknown_tasks else []
    named = {state: ", ".join(names) for state, names in steps.items()}
    whole = f"does not fit ({named[False]})" if named[False] else f"unclear ({named[None]})" if named[None] else "fits"
    return whole, [*_table(rows, (1,)), *_wrap(assumed), *left_out]


def _disk(study: Study) -> tuple[float | None, float, list[str]]:
    """(gigabytes in all, gigabytes that are free, lines)."""
    space = disk(study)
    whole = None if None in space.values() else sum(space.values())
    free = shutil.disk_usage(next(folder for folder in (study.folder, *study.folder.parents) if folder.exists())).free
    parts = ", ".join(f"{name} {_number(size, ' GB')}" for name, size in space.items())
    return whole, free / 1e9, _wrap(f"Disk: {parts}; {_number(whole, ' GB')} in all, {free / 1e9:,.0f} GB are free here.", "")


def _hours(study: Study, on: Machine, rate: float | None) -> tuple[float | None, list[str]]:
    """(hours in all, a line for each step)."""
    steps = hours(study, on, rate)
    rows = [("Hours", "jobs", "tokens generated", "hours", "")]
    rows += [(step.name, str(step.jobs), _number(step.tokens / 1e6, " M", 2), _number(step.hours, "", 2), "") for step in steps]
    whole = None if None in [step.hours for step in steps] else sum(step.hours for step in steps)
    hint = _wrap(_side_by_side(study, on, rate)) if whole is not None and on.gpu else []
    return whole, [*_table(rows, (1, 2, 3)), *_wrap(_time_assumptions(study, on, rate)), *hint]


def _side_by_side(study: Study, on: Machine, rate: float | None) -> str:
    """The hours with the most trainings that fit on the GPU, if these are more than the study's; "" otherwise."""

    def together(runs: int) -> Study:
        return study.model_copy(update={"train": study.train.model_copy(update={"runs_per_gpu": runs})})

    def fits(runs: int) -> bool:
        return all(fit(need, on)[0] for need in needs(together(runs), on) if need.step.startswith("03"))

    most = max((runs for runs in range(study.train.runs_per_gpu + 1, MOST_RUNS + 1) if fits(runs)), default=None)
    if most is None:
        return ""
    whole = sum(step.hours for step in hours(together(most), on, rate))
    return f"With train.runs_per_gpu: {most}, which also fits on this GPU, all jobs take about {_number(whole)} hours."


def _time_assumptions(study: Study, on: Machine, rate: float | None) -> str:
    vllm = writes_with_vllm(study, on)
    length = (
        f"{LETTERED.mean:g} (lettered options) or {OTHER.mean:g} (others) times the allowed length"
        if vllm
        else "the allowed length"
    )
    token, engine = start_of_token(vllm, on), "vLLM" if vllm else "transformers"
    forward = f" ({on.forward / 1e12:g} without a gradient)" if on.forward != on.arithmetic else ""
    four_bits = vllm and any(study.training(arm).method == "qlora" for arm in study.arms)
    return " ".join(filter(None, [
        f"Assumed: completions of {length};",
        f"{rate:,.0f} tokens/s of generation (RATE), and for the rest" if rate else "no measured speed, but",
        f"{1e3 * token:g} ms per layer and token ({engine} generates), {1e3 * START_UPDATE:g} ms per layer and batch of an update,",
        f"{1e3 * START_ITEM:g} ms per item before its log-likelihoods are computed (while other jobs compute),",
        f"{START_JOB:.0f} s to start a job," if on.gpu else "",
        f"{on.bandwidth / 1e9:,.0f} GB/s of memory and {on.arithmetic / 1e12:g} Tflop/s{forward}.",
        f"With shared prompts and beta 0, {NO_GRADIENT:g} of the completions need no gradient (none with a random reward).",
        f"Jobs that share a GPU use NVIDIA's multi-process service and overlap (their number to the power of {SHARED:g}, up to the GPU's rate without a "
        "gradient); without it, updates take turns.",
        f"Training in 4 bits generates with transformers, {1e3 * START_TOKEN:g} ms and the allowed length." if four_bits else "",
        "RATE=<tokens per second of a whole batch> replaces the assumption about generation.",
        "Results of other studies under runs/ are reused where possible and cost nothing.",
    ]))  # fmt: skip


def _detectable(study: Study) -> list[str]:
    """A line for each outcome, and a warning if the effect that the study is about is too small for its seeds."""
    if len(study.seeds) < 2:
        return _wrap("Minimum detectable effects: none, because one seed allows no test over seeds.", "")
    found = effects(study)
    rows = [("Minimum detectable effect (points)", "items", "arm − untrained", "arm − random", "corrected", "SD from study")]
    for effect in found:
        smallest = (effect.untrained, effect.arms, effect.corrected)
        points = [f"{100 * value:.1f}" if effect.source else "–" for value in smallest]
        rows.append((effect.task, _number(effect.items, "", 0), *points, effect.source or "no published study"))
    explained = (
        f"With {len(study.seeds)} seeds, a power of {study.analysis.power:g} and a confidence level of {study.analysis.confidence:g}; "
        "corrected: adjusted for all arms that are compared with random, on all tasks."
    )
    if fixed := ", ".join(dict.fromkeys(effect.source for effect in found if effect.draws == 1)):
        explained += f" All seeds of {fixed} trained on one draw, so the true values are larger than these."
    lines, wanted = [*_table(rows, (1, 2, 3, 4)), *_wrap(explained)], study.analysis.effect
    missed = [effect.task for effect in found if wanted and effect.side == "specialisation" and effect.arms > wanted]
    if missed:
        lines += _wrap(
            f"Warning: the study is about a difference of {100 * wanted:g} points between arms (analysis.effect), which is smaller "
            f"than it can detect on {', '.join(missed)}; more seeds or a steadier training would help, more items hardly do."
        )
    return lines


@entry_point
def main() -> None:
    """Print the plan, or one line and exit with 1."""
    parser = overrides.parser(__doc__.splitlines()[0])
    parser.add_argument("--gpu", help="memory of a GPU, such as 24GB, or A100, H100, H200; without it, the GPU that is here")
    parser.add_argument("--rate", help="tokens per second of generation, all sequences of a batch together")
    given = parser.parse_args()
    if given.rate and (not re.fullmatch(r"\d+(\.\d+)?", given.rate) or not float(given.rate)):
        raise StudyError(f"RATE={given.rate}: should be tokens per second, such as RATE=2000")
    study = open_study(given.study, given.changes)
    task_files.check(study)
    check.check(study, here=False)
    print(report(study, machine(given.gpu), float(given.rate) if given.rate else None))


if __name__ == "__main__":
    main()
