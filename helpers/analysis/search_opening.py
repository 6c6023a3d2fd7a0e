"""The opening of a study of a search tool: its question, its result and what that means in practice, in words.

Its primary outcome is accuracy in reasoning mode on what was trained: an arm that was trained with the tool and answers with it, against the random
arm without it (`searching.against_random`). Shares, not points.
"""

from collections.abc import Mapping

import pandas as pd

from helpers.analysis import names, primary, primary_advice, searching
from helpers.analysis.evidence import difference, finds, p_in_words
from helpers.analysis.recorded import WITH_TOOL
from helpers.analysis.searching import ANSWERABLE
from helpers.study.schema import HELD_OUT, REASONING, SEARCH
from helpers.study.study import UNTRAINED

TOOL = "training and answering with the tool"
KINDS = {
    "better": "is better than without it",
    "mixed": "is better than without it on one outcome and worse on another",
    "worse": "is worse than without it",
    "": "was not shown to differ from doing so without it",
}
MEANING = {
    "better": "With a similar model, corpus and questions, train and answer with the tool.",
    "mixed": "No simple advice: the tool helps on one outcome and harms on another.",
    "worse": "With a similar model, corpus and questions, do without the tool.",
    "": "With a similar model, corpus and questions, the tool was not shown to be worth its tokens.",
}


def lines(tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """The lines Question, Result, In practice and In detail (one remark per line); none if the study is not about search (`asked`).

    tables: study, arms and, where a study has them, search_effect, search_seeds, reasoning and common.
    """
    effect = tables.get("search_effect")
    rows = None if effect is None or not asked(tables["arms"]) else searching.against_random(effect)
    if rows is None or rows.empty:
        return {}
    about = tables["study"].iloc[0]
    rows = rows.assign(outcome=[outcome(name) for name in rows["benchmark"]])
    models = effect[effect["benchmark"].isin(rows["benchmark"])]
    before = models[models["arm"] == UNTRAINED]
    where = ", then ".join(rows["outcome"].unique())
    works = _works(models, about)
    said = [
        works,
        *(_answer(arm, own) for arm, own in rows.groupby("arm", sort=False)),
        f"Before training, the tool changes accuracy by {_figures(before, 'search')} points ({where}).",
        _use(tables.get("search_seeds"), rows),
        f"This study could detect {' and '.join(f'{100 * value:.1f}' for value in rows['detectable'])} points ({finds(about['power'], about['confidence'])}).",
    ]
    detail = [
        f"Tests are adjusted for the {len(rows)} comparisons of the primary outcome (Holm), intervals are not.",
        *(_parts(arm, effect, rows) for arm in rows["arm"].unique()),
        _format(tables.get("reasoning"), rows),
        _control(effect, rows),
        primary.shared(tables.get("common")),
    ]
    return {
        "Question": _asked(about, rows),
        "Result": " ".join(filter(None, said)),
        "In practice": _advice(models, rows, about),
        "In detail": "\n".join(filter(None, detail)),
    }


def asked(arms: pd.DataFrame) -> bool:
    """Whether a study is about search: its arms are a random one without the tool and one that is trained with it. arms: `recorded.arms_in_words`."""
    searches = arms.set_index("arm")["trained"].str.endswith(WITH_TOOL)
    return len(searches) == 2 and not searches.get("random", True) and bool(searches.any())


def outcome(benchmark: str) -> str:
    """A benchmark in reasoning mode as its questions are called.

    >>> [outcome("pool_held_out"), outcome("mmlu_medical_reasoning")]
    ['held-out questions', 'MMLU medical questions']
    """
    plain = names.benchmark(benchmark.removesuffix(f"_{REASONING}"))
    return plain if benchmark == HELD_OUT else f"{plain} questions"


def _asked(about: pd.Series, rows: pd.DataFrame) -> str:
    outcomes = " and ".join(f"{row.items:,} {row.outcome}" for row in rows.drop_duplicates("outcome").itertuples())
    with_tool = " and ".join(rows["arm"].unique())
    return (
        f"{about['question']} {about['model']} was trained with GRPO on questions of {about['pool']}, without a search tool (random) and with one "
        f"({with_tool}). Primary outcome: accuracy in reasoning mode on {outcomes}, {with_tool} with the tool against random without it; {about['seeds']} "
        f"seed{'s' if about['seeds'] > 1 else ''} per arm."
    )


def _works(models: pd.DataFrame, about: pd.Series) -> str:
    """What training without the tool does: the condition for any answer."""
    own = models[models["arm"] == "random"]
    before = models[models["arm"] == UNTRAINED].set_index("benchmark")["without"]
    figures = " and ".join(
        f"from {100 * before[row['benchmark']]:.1f} to {100 * row['without']:.1f} % on {outcome(row['benchmark'])} ({difference(row, 'training')} points)"
        for row in own.to_dict("records")
    )
    cover = f"({100 * about['confidence']:g} % intervals over items{' and seeds' if about['seeds'] > 1 else ''})"
    if (own["training_low"] > 0).all():
        return f"Training works without the tool: it raises accuracy {figures} {cover}."
    where = " on each of them" if len(own) > 1 else ""
    return f"Training without the tool was not shown to raise accuracy{where}: it changes accuracy {figures} {cover}."


def kind(own: pd.DataFrame) -> str:
    """Which of KINDS the rows of one arm are. own: from `searching.against_random`."""
    better, worse = own["better"].any(), own["worse"].any()
    return "mixed" if better and worse else "better" if better else "worse" if worse else ""


def _answer(arm: str, own: pd.DataFrame) -> str:
    first = own.assign(differs=own["better"] | own["worse"]).sort_values("differs", ascending=False, kind="stable")
    figures = ", ".join(
        f"{difference(row, 'change')} points on {row['outcome']} (adjusted {p_in_words(row['p_holm'])})"
        for row in first.rename(columns={"low": "change_low", "high": "change_high"}).to_dict("records")
    )
    return f"{TOOL.capitalize()} ({arm}) {KINDS[kind(own)]}: {figures}."


def _use(seeds: pd.DataFrame | None, rows: pd.DataFrame) -> str:
    """How often the models search before and after training with the tool, on the first outcome; "" without the table.

    seeds: `searching.by` what, arm and seed, shares.
    """
    if seeds is None:
        return ""
    own = seeds[seeds["what"] == rows["benchmark"].iloc[0]]
    before, after = own[own["arm"] == UNTRAINED], own[own["arm"].isin(rows["arm"])]
    if before.empty or after.empty:
        return ""
    *first, last = [f"{100 * share:.0f}" for share in after["searched"]]
    shares = f"{', '.join(first)} and {last} % (one model per seed)" if first else f"{last} %"
    return (
        f"Before training, the model searches for {100 * before['searched'].iloc[0]:.0f} % of the {rows['outcome'].iloc[0]}; after training with the tool, for "
        f"{shares}. {_found(before)}".rstrip()
    )


def _found(before: pd.DataFrame) -> str:
    """How often the passages of the untrained model contain an option; "" if it never searches. before: its row of `searching.by`."""
    if before["right_found"].isna().all():
        return ""
    right, wrong = (f"{100 * before[name].iloc[0]:.0f} %" for name in ("right_found", "wrong_found"))
    return f"Of its searches, {right} find passages with the right option; {wrong} of the wrong options are found as well."


def _advice(models: pd.DataFrame, rows: pd.DataFrame, about: pd.Series) -> str:
    if not (models.loc[models["arm"] == "random", "training_low"] > 0).all():
        return "Nothing follows about the tool, because training was not shown to raise accuracy. First find a recipe that does."
    shown = kind(rows)
    possible = rows.rename(columns={"low": "vs_random_low", "high": "vs_random_high"})
    return MEANING[shown] if shown else f"{MEANING['']} {primary_advice.possible(possible, about)}"


def _parts(arm: str, effect: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Which part of the difference is due to what."""
    models = effect[effect["benchmark"].isin(rows["benchmark"])]
    random, own = models[models["arm"] == "random"], models[models["arm"] == arm]
    return (
        f"The tool changes the accuracy of random by {_figures(random, 'search')} points; with the tool in both, {arm} differs from random by "
        f"{_figures(own, 'to_search')} points (same order)."
    )


def _control(effect: pd.DataFrame, rows: pd.DataFrame) -> str:
    """The control of the tool: questions whose answer can be found, where it should help if anywhere; "" without any."""
    found = effect[effect["benchmark"].isin(rows["benchmark"] + ANSWERABLE)]
    before, after = found[found["arm"] == UNTRAINED], found[found["arm"].isin(rows["arm"])]
    if before.empty:
        return ""
    counts = " and ".join(
        f"{int(items)} {outcome(name.removesuffix(ANSWERABLE))}"
        for items, name in zip(before["items"], before["benchmark"], strict=True)
    )
    return (
        f"Where a search for the question itself finds the right option ({counts}), the tool changes accuracy by {_figures(before, 'search')} points before "
        f"training and by {_figures(after, 'search')} after training with it. "
        + (
            "So the tool works."
            if (before["search_low"] > 0).any()
            else "This does not show that the tool works with this model."
        )
    )


def _format(reasoning: pd.DataFrame | None, rows: pd.DataFrame) -> str:
    """How the tool changes the format of the untrained model's answers, and accuracy among valid ones; "" without the table. reasoning: `answers.reasoning`."""
    if reasoning is None:
        return ""
    own = reasoning[reasoning["arm"] == UNTRAINED].set_index("benchmark")
    pairs = [
        (own.loc[name], own.loc[f"{name}_{SEARCH}"]) for name in rows["benchmark"].unique() if f"{name}_{SEARCH}" in own.index
    ]
    if not pairs:
        return ""
    valid, right = (
        " and ".join(f"from {100 * plain[key]:.1f} to {100 * tool[key]:.1f} %" for plain, tool in pairs)
        for key in ("valid", "accuracy_if_valid")
    )
    return f"Before training, the tool changes the share of answers in the required format {valid}, and accuracy among these {right}."


def _figures(rows: pd.DataFrame, name: str) -> str:
    return " and ".join(difference(row, name) for row in rows.to_dict("records"))
