"""The results of a study as 05_analysis shows them: sentences, tables for readers, and pictures."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pandas as pd
from IPython.display import HTML
from markupsafe import Markup
from matplotlib.figure import Figure

from helpers.analysis import compare, index_checks, indices, names, opening, plots, primary_plot
from helpers.analysis import primary as outcome
from helpers.analysis.drawing import Picture
from helpers.analysis.results import Results
from helpers.report import pages
from helpers.report.browser import with_passages
from helpers.study.files import read_note
from helpers.study.places import FIGURES
from helpers.study.schema import REWARDS
from helpers.study.study import UNTRAINED

NEAR = "≈\u00a0"  # a score near chance; the space keeps the sign beside its number in narrow cells
VALIDATION = FIGURES / "validation" / "validation.csv"  # by tests/analysis/validation.py


def answer(r: Results, effects: pd.DataFrame | None = None) -> HTML:
    """The box that opens a report: what was asked and found and what it means for training, as in the README, why it is not more certain,
    and what is still missing; of a control, what it shows. effects: the smallest detectable effects (`plan.measured`)."""
    tables = {
        "study": r.about,
        "verdict": r.verdict,
        "pairs": r.pairs,
        "comparison": r.comparison,
        "arms": r.arms_in_words,
        "common": r.common,
    }
    others = {
        "balance": r.balance,
        "detectable": effects,
        "search_effect": r.search_effect,
        "search_seeds": r.search_seeds,
        "reasoning": r.reasoning,
    }
    tables |= {name: table for name, table in others.items() if table is not None}
    reason, detail = "" if r.about_search else opening.reason(r.verdict, r.guards, r.pairs), ""
    if r.control.own:
        said = [r.control.sentence]
    elif opening.asked(r.verdict) or len(r.primary) or r.about_search:
        lines = opening.lines(tables)
        detail = lines.pop("In detail", "")
        said = [*(Markup("<b>{}:</b> {}").format(*line) for line in lines.items()), reason]
    else:
        said = [opening.answer(r.verdict), reason]
    said += [f"Not scored: {', '.join(map(names.model, r.missing))}."] if r.missing else []
    return _box("warning" if r.study.demonstration else "note", said, detail.splitlines())


def _box(kind: str, said: Sequence[str], detail: Sequence[str]) -> HTML:
    """A box with a paragraph for each line said, and remarks folded below them."""
    shown = [Markup("<p>{}</p>").format(line) for line in said if line]
    if detail:
        remarks = Markup("").join(Markup("<li>{}</li>").format(line) for line in detail)
        shown.append(Markup("<details><summary>In detail</summary><ul>{}</ul></details>").format(remarks))
    return HTML(Markup('<div class="box {}" style="{}">{}</div>').format(kind, pages.BOX[kind], Markup("").join(shown)))


def picture(
    r: Results, name: str, draw: Callable[..., Figure], table: pd.DataFrame | None, text: str, saved: pd.DataFrame | None = None
) -> Picture | None:
    """Draw a figure, save it with its table below `figures/`, and return it to be shown; None if there is no table, or an empty one.

    draw: from the table and the arms to a figure. text: the caption. saved: the table to save if it is another than the drawn one.
    """
    if table is None or table.empty:
        return None
    return plots.picture(draw(table, r.arms), table if saved is None else saved, r.study.path("figures", name), text)


def outside(r: Results) -> str:
    """What a caption says of benchmarks that are in no index; "" if there is none."""
    gone = ", ".join(one.where for one in index_checks.left_out(r.raw))
    return f" In no index, because the untrained model nearly always names one letter: {gone}." if gone else ""


def curve(table: pd.DataFrame | None) -> pd.DataFrame | None:
    """A table over steps if it has more than two of them: two points make no curve."""
    return None if table is None or table["step"].nunique() < 3 else table


def band(effect: float | None) -> str:
    """What a caption says of a figure's band: the smallest difference that would matter (`analysis.effect`); "" if the study states none."""
    return (
        f" Band: differences smaller than {100 * effect:g} points, the smallest difference that would matter." if effect else ""
    )


def primary(r: Results) -> Picture | None:
    """The primary outcome of a study whose seeds have draws of their own (`primary.rows`): arms against random; None without one."""
    effect, rules = r.settings.effect, outcome.rules_of(r.arms_in_words)
    circles = (
        "Circles: each seed's difference from the random arm's model of the same seed (not shown for an arm printed at the edge)."
    )
    text = f"Accuracy in reasoning mode: means with {r.settings.confidence:.0%} intervals {r.over}. {circles}{band(effect)}"
    saved = compare.against(r.primary, "random")
    draw = partial(primary_plot.picture, seeds=r.by_seed, rules=rules, effect=effect)
    return picture(r, "primary", draw, r.primary, text, saved)


def by_seed(r: Results) -> pd.DataFrame:
    """Accuracy of every trained model on the primary outcome (of a search study: on all benchmarks): columns outcome, arm, and one per seed.

    Empty without a primary outcome, and if there is one seed only.
    """
    outcomes = dict(zip(r.primary["benchmark"], r.primary["outcome"], strict=True))
    rows = r.by_seed if r.about_search else r.by_seed[r.by_seed["benchmark"].isin(outcomes)]
    if rows["seed"].nunique() < 2:
        return rows.head(0)
    named = names.of(rows) if r.about_search else rows["benchmark"].map(outcomes)
    wide = rows.assign(outcome=named).pivot_table(index=["outcome", "arm"], columns="seed", values="accuracy", sort=False)
    return wide.sort_index(axis="columns").rename(columns="seed {}".format).rename_axis(columns=None).reset_index()


def plane(r: Results) -> Picture | None:
    """Robustness against specialisation; None if the study has one index only."""
    draw = partial(plots.plane, confidence=r.settings.confidence, about=r.study.eval.about)
    return picture(r, "plane", draw, r.regions, f"{r.counted} Regions {r.over}.")


def power(r: Results) -> Picture | None:
    """The minimum detectable effect over the number of items, with the differences that the paper states; None with one seed, or in a
    demonstration."""
    text = (
        f"Lines: true change from the untrained model that is detected with {r.settings.power:.0%} power if {100 * r.discordant:.1f} % of the items "
        "change in a run (more if the difference requires it), as is typical of scores by likelihood, and seeds vary as in this study. Where more items change, as in "
        "reasoning mode, a difference must be larger: see the column detectable in the tables. Marks: differences that the paper reports, from "
        f"one seed; a mark below a line has less than {r.settings.power:.0%} power. A difference between two trained models needs to be larger than the lines."
    )
    if r.paper is None:
        return None
    marks = r.paper.assign(name=r.paper["benchmark"] + ": " + r.paper["compared"])
    return picture(r, "power", lambda table, _: plots.power_curve(table, marks), r.curve, text)


def varied(r: Results) -> list[Picture | None]:
    """One picture for each thing in which arms of the study differ (`doses`), and one of benchmarks that ask medicine in another form."""
    interval = f"{r.settings.confidence:.0%} intervals {r.over}."
    text, line = f"{r.counted} {interval}", " A line joins (the mean of) arms that differ in this alone."
    found = []
    for name, (label, points) in doses(r).items():
        joined = name != "gap"
        draw = partial(plots.dose, label=label, joined=joined)
        found.append(picture(r, name, draw, compare.dose(r.groups, points), text + line * joined))
    source = r.parts["benchmark"].str.startswith("medqa") & (r.parts["group"] == "specialisation")
    shift = r.parts[(r.parts["group"] == "shift") | source] if "shift" in set(r.parts["group"]) else None
    saved = None if shift is None else compare.against(shift, UNTRAINED)
    return [*found, picture(r, "shift", plots.forest, shift, f"MedQA beside medicine in other forms. {interval}", saved)]


def doses(r: Results) -> dict[str, tuple[str, dict[str, tuple[str, Any]]]]:
    """What arms may differ in: {name of a figure: (label of its axis, {arm: (series, x)})}, as `compare.dose` takes it."""
    specs = {arm: r.study.arms[arm] for arm in r.arms}
    train = {arm: r.study.training(arm) for arm in r.arms}
    choice = {arm: str(spec.model_dump(exclude={"train"})) for arm, spec in specs.items()}
    mixed = {arm: spec for arm, spec in specs.items() if spec.hard is not None and not spec.train}
    missing = {arm: [name for name in REWARDS if train[arm].reward_weights.get(name, 1) == 0] for arm in specs}
    known = {} if r.filter_gap is None else 100 * r.filter_gap.drop_duplicates("filter").set_index("filter")["gap"]
    return {
        "gap": ("filter's accuracy on the pool −\nthe model's (points)",
                {arm: ("filters", known[spec.filter]) for arm, spec in specs.items() if spec.filter in known and not spec.train}),
        "ratio": ("hard questions (share)", {arm: (f"{x.filter}, {x.wanted}", x.hard / x.wanted) for arm, x in mixed.items()}),
        "size": ("training questions", {arm: (f"{x.filter}, {x.hard / x.wanted:.2f}", x.wanted) for arm, x in mixed.items()}),
        "method": ("what is trained", {arm: (choice[arm], train[arm].method) for arm in specs}),
        "left_out": ("reward left out", {arm: (choice[arm], ", ".join(missing[arm]) or "none") for arm in specs}),
    }  # fmt: skip


def accuracies(r: Results) -> pd.DataFrame:
    """The comparison for readers: one row per benchmark, one column per model, accuracy in percent, with its interval where they fit (up to five arms)."""
    rows, few = plots.by_side(r.comparison), len(r.arms) <= 5
    ends = [f" [{100 * row.low:.0f},\u00a0{100 * row.high:.0f}]" if few else "" for row in rows.itertuples()]
    cells = [
        f"{NEAR if near else ''}{100 * value:.1f}{end}"
        for near, value, end in zip(rows["at_chance"], rows["accuracy"], ends, strict=True)
    ]
    chance = [f"{100 * value:.0f}" if value else "–" for value in rows["chance"]]
    shown = rows.assign(benchmark=rows["short"], cell=cells, chance=chance, items=[f"{items:,}" for items in rows["items"]])
    by = ["group", "benchmark", "setting", "items", "chance"]
    return shown.pivot_table(index=by, columns="arm", values="cell", aggfunc="first", sort=False)[[UNTRAINED, *r.arms]]


def against_random(r: Results) -> pd.DataFrame:
    """Indices of each arm minus those of the random arm; empty if the study has none, or no other arm."""
    return indices.from_random(r.pairs)[
        ["arm", "group", "benchmarks", "items", "change", "low", "high", "p", "p_equal", "detectable"]
    ]


def members(r: Results) -> pd.DataFrame:
    """The members of suites, accuracy in percent: one row per member, one column per model; empty without suites."""
    inside = names.shown(r.members[r.members["task"] != r.members["benchmark"]])
    shown = inside.assign(accuracy=100 * inside["accuracy"])
    by = ["task", "group", "benchmark", "items"]
    return shown.pivot_table(index=by, columns="arm", values="accuracy", sort=False).reset_index()


def rollouts(r: Results) -> pd.DataFrame:
    """All rollouts with the prefill that the prompt wrote, the id of the question and, unless its options were rotated, the right answer;
    passages that a search inserted are marked."""
    if r.rollouts.empty:
        return r.rollouts
    asked = pd.concat(r.questions.values()).drop_duplicates("question_id")[["question_id", "id", "answer"]]
    rows = r.rollouts.merge(asked, on="question_id", how="left")
    rows = rows.assign(
        completion=r.study.prompt.prefill + rows["completion"],
        answer=rows["answer"].where(rows["rotation"] == 0, "rotated") if "rotation" in rows else rows["answer"],
    )
    return with_passages(rows, r.study.prompt.prefill)


def learning(r: Results) -> pd.DataFrame:
    """Steps, zero-variance groups, accuracy reward (at most 2) in the first and the last third of the steps, and truncation of the training:
    one row per arm, mean over its seeds."""
    place = r.logs.groupby(["arm", "seed"])["step"].rank(method="first", pct=True)
    reward = r.logs["reward_accuracy"]
    rows = r.logs.assign(first=reward.where(place <= 1 / 3), last=reward.where(place > 2 / 3))
    return rows.groupby("arm", sort=False).agg(
        steps=("step", "nunique"),
        steps_with_variance=("frac_reward_zero_std", lambda share: (share < 1).mean()),
        zero_variance_groups=("frac_reward_zero_std", "mean"),
        accuracy_reward_first_third=("first", "mean"),
        accuracy_reward_last_third=("last", "mean"),
        truncated=("clipped_share", "mean"),
    )


def benchmark_data(r: Results) -> pd.DataFrame:
    """The data, version and shots of each benchmark, as the evaluation of the untrained model recorded them."""
    tasks = sorted(r.study.path("eval", UNTRAINED, "tasks").glob("*.json"))
    found = [(path.stem, name, facts) for path in tasks for name, facts in read_note(path).get("benchmarks", {}).items()]
    return pd.DataFrame([{"task": task, "benchmark": name} | facts for task, name, facts in found])


def detectable(r: Results) -> str:
    """What the study could have detected on the benchmarks of what was trained, as in the README, and what the figure of power rests on."""
    about, arm, own = r.about.iloc[0], opening.first_arm(r.pairs), r.primary[~r.primary["arm"].isin(r.controls)]
    if r.about_search:
        parts = []  # the box at the top says it
    elif r.primary.empty:
        parts = [
            f"Between {arm} and random, this study could detect {line}."
            for line in opening.detectable(r.pairs, r.comparison, about)
        ]
    else:
        parts = [
            f"On its primary outcome, this study could detect differences from the random arm of {outcome.detectable(own, about, r.controls)}."
        ]
    if r.seeds == 1:
        parts.append("With one seed, the variance between seeds is unknown: the column detectable applies to this seed only.")
    if pd.isna(r.spread["discordant"]):
        parts.append(
            f"No benchmark of this study is scored by likelihood or free generation, so {100 * r.discordant:.0f} % changed items are assumed below."
        )
        return " ".join(parts)
    parts.append(
        f"A run answers {100 * r.spread['discordant']:.1f} % of the items differently from the untrained model (median over arms and benchmarks)."
    )
    if pd.notna(r.spread["seed_sd"]):
        parts.append(
            f"The figure below is for one benchmark by likelihood or free generation, with a standard deviation between seeds of "
            f"{100 * r.spread['seed_sd']:.2f} points in addition to that from sampling items (mean over arms and benchmarks)."
        )
    return " ".join(parts)


def done(r: Results) -> str:
    """What was done, in a sentence or two."""
    benchmarks = r.parts.drop_duplicates(["benchmark", "filter"]).drop_duplicates("benchmark")
    return (
        f"{r.study.model.id} was trained with GRPO on questions of {r.study.pool.source}: {len(r.arms)} arms, {r.seeds} "
        f"run{'s' if r.seeds > 1 else ''} of each. Every model answered {len(benchmarks)} benchmarks, {benchmarks['items'].sum():,} items."
    )


def origin(r: Results) -> str:
    """Where weights and questions came from."""
    weights = sorted({f"{note.get('model', note.get('filter'))}: {note['weights']}" for note in r.notes if "weights" in note})
    pool = ", ".join(f"{key} {value}" for key, value in r.pool.items() if value)
    return f"Weights: {'; '.join(weights)}. Pool: {pool}. Seeds: {', '.join(map(str, r.compared_seeds))}."


def validation(table: pd.DataFrame) -> pd.DataFrame:
    """`VALIDATION` in short: one row per method, number of seeds and kind of world, with the lowest and the highest value."""
    power = table["measured"] == "power"
    away = table["value"] - table["wanted"].where(power).str.split().str[0].astype(float) / 100
    differences = table.assign(value=away, measured="power minus the promised power", wanted="within 5 %")[power]
    rows = pd.concat([table[~power], differences]).groupby(["seeds", "method", "measured", "correlated"], sort=False).agg(
        worlds=("value", "size"), lowest=("value", "min"), highest=("value", "max"), wanted=("wanted", "first"),
        kept=("kept", lambda kept: "no" if "no" in set(kept) else kept.iloc[0]))  # fmt: skip
    return rows.reset_index().sort_values("seeds", kind="stable", ignore_index=True)
