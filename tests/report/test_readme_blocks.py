"""What the README says about published studies: its tables, its sentences, and that it is up to date."""

import shutil

import pandas as pd
import pytest

from helpers.analysis import checks
from helpers.report import readme
from helpers.study.files import StudyError, write_json
from helpers.study.places import REPOSITORY


def published(folder, low=-0.001):
    """Published tables of one real study."""
    rows = [("self", "specialisation", 0.012, low, 0.025), ("self", "robustness", -0.004, -0.02, 0.012)]
    (folder / "small").mkdir()
    (folder / "somebody_elses").mkdir()
    (folder / "somebody_elses" / "groups.csv").write_text("arm,seeds\nx,1\n")
    groups = pd.DataFrame(rows, columns=["arm", "group", "change", "low", "high"]).assign(seeds=3, draws=1, detectable=0.031)
    groups.to_csv(folder / "small/groups.csv", index=False)
    groups.rename(columns={"arm": "second"}).assign(first="random").to_csv(folder / "small/pairs.csv", index=False)
    claims = [("Filtering pays", "cannot tell", "Inconclusive: we found nothing. self: +1.2 points."),
              ("A larger one pays more", "not tested", "No such arm.")]  # fmt: skip
    pd.DataFrame(claims, columns=["claim", "outcome", "evidence"]).to_csv(folder / "small/verdict.csv", index=False)
    opens = {
        "model": "org/a",
        "pool": "org/medqa-pool",
        "seeds": 3,
        "confidence": 0.95,
        "power": 0.8,
        "control": "The control works.",
    }
    pd.DataFrame([opens]).to_csv(folder / "small/study.csv", index=False)
    fired = [
        (checks.ALIKE, "random and self", "496 of 500"),
        (checks.GUESSES, "self", "22% right, by guessing 25%"),
        ("else", "x", ""),
    ]
    pd.DataFrame(fired, columns=["what", "where", "value"]).to_csv(folder / "small/guards.csv", index=False)
    detectable = [
        ("self", "specialisation", "medqa_4options_mirror", "none", 0.0301),
        ("self", "robustness", "mmlu", "none", 0.02),
        ("random", "specialisation", "medqa_4options_mirror", "none", None),
    ]
    columns = ["arm", "group", "benchmark", "filter", "vs_random_detectable"]
    pd.DataFrame(detectable, columns=columns).to_csv(folder / "small/comparison.csv", index=False)
    arms = [("self", "org/a-1.5B"), ("random", "chance")]
    pd.DataFrame(arms, columns=["arm", "chosen by"]).to_csv(folder / "small/arms.csv", index=False)
    rest = [("random", "self", "specialisation", "mmlu: specialisation", 1871, 0.0, -0.1, 0.1),
            ("random", "self", "specialisation", "mmlu_pro: specialisation", 71, 0.003, -0.002, 0.007)]  # fmt: skip
    columns = ["first", "second", "group", "without", "items", "change", "low", "high"]
    pd.DataFrame(rest, columns=columns).to_csv(folder / "small/without.csv", index=False)


def test_the_readmes_table_comes_from_the_published_files(tmp_path):
    published(tmp_path)
    note = {"pool": {"source": "openai/gsm8k", "config": "main", "split": "train", "from": "offline mirror", "rows": 40,
                     "duplicates": 0, "refused": 0}}  # fmt: skip
    for arm in ("random", "self"):
        write_json(note, tmp_path / "small/data/split" / arm / "train.json")
    made = {"model": "org/a", "weights": "offline mirror", "origin": "4-bit GGUF"}
    write_json({"eval/untrained/scores": made, "train/self/seed0/log": made, "x": {}}, tmp_path / "small/provenance.json")
    (tmp_path / "small/data/times.csv").write_text(
        "notebook,seconds,gpus,gpu_seconds\n03_a,7200,0.5,3600\n03_b,9000,1,9000\n01_c,5,0,0\n04_d,720,1,720\n05_e,9,0,0\n"
    )
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- finding -->\nold\n<!-- /finding -->\n<!-- results -->\nold\n<!-- /results -->\nafter\n")
    assert readme.render(page.read_text(), tmp_path) != page.read_text()
    assert readme.update(page, tmp_path)
    text = page.read_text()
    assert readme.render(text, tmp_path) == text
    assert "| small | self | 3 | +1.2 [-0.1, +2.5] | -0.4 [-2.0, +1.2] |" in text
    assert text.count("- small: The pool has 40 of the 7,473 training questions of openai/gsm8k (main)") == 1
    assert text.count("- small: Weights differ from the original ones: 4-bit GGUF (a).") == 1
    assert "- small: GPU hours: 3.50 training, 0.20 evaluation (labels: not recorded).\n" in text
    assert "| Filtering pays | – | – | small |" in text
    first, _, _ = text.partition("<!-- /finding -->")
    order = [
        "- **Question:** Does GRPO improve org/a more when a filter chooses the questions from org/medqa-pool",
        "\n- **Result:** Inconclusive: we found nothing. On the trained subject",
        "\n- **In practice:** This is",
        "<img",
        "Why this is inconclusive",
        "<details>",
    ]
    places = [first.index(words) for words in order]
    assert places == sorted(places)
    assert "than when the same number is chosen at random? (3 seeds per arm.) Study [`small`](parameters/small.yaml).\n" in first
    assert (
        "On the trained subject, training on questions chosen by a-1.5B changes accuracy by +1.2 [-0.1, +2.5] points relative to random questions ("
        "specialisation index; 95 % interval over items and 3 seeds, for one draw of questions). The paper reports differences of about one point; this "
        "study could detect 3.1 points on this index, 3.0 on MedQA by likelihood (80 % power, one test at the 5 % level; between-seed variance "
        "pooled over all arms).\n"
        "- **In practice:** This is no evidence for or against filtering. Before comparing training sets" in first
    )
    assert "\nWhy this is inconclusive: random and self share 496 of 500 questions; three seeds per arm.\n" in first
    assert "- Filtering pays: **cannot tell**. Inconclusive: we found nothing. self: +1.2 points.\n" in first
    assert "- A larger one pays more: No such arm.\n\nThe control works.\n" in first
    assert "| the same without MMLU-Pro, the benchmark with the fewest items (71) |" in first
    assert (
        "| self: a-1.5B | +1.2 [-0.1, +2.5] | +0.3 [-0.2, +0.7] | -0.4 [-2.0, +1.2] |\n\nThe numbers below are differences with 95 % confidence intervals over items and 3 seeds"
        in first
    )
    assert (
        "on questions of one pool (org/medqa-pool). All seeds of an arm trained on the same questions, so the intervals do"
        in first
    )
    assert "between draws. The weights are not the original ones: 4-bit GGUF (a)." in first
    assert "else" not in first
    assert "figures/small/plane.png" in first
    assert "none yet" not in text
    assert "\nold\n" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")


def test_the_readme_says_what_a_search_tool_brings_and_how_many_of_the_seeds_ran(tmp_path):
    published(tmp_path)
    (tmp_path / "small").rename(tmp_path / "search")
    changes = {"search": 0.02, "training": 0.04, "to_search": 0.01, "against_random": 0.03}
    ends = {
        f"{name}{end}": value + more
        for name, value in changes.items()
        for end, more in (("", 0), ("_low", -0.03), ("_high", 0.03))
    }
    inside = "mmlu_medical_reasoning, answer in the passages"
    rows = [{"benchmark": name, "items": 1871, "arm": arm, "against_random_seeds": 3} | ends
            for name in ("mmlu_medical_reasoning", inside) for arm in ("untrained", "random", "random-search")]  # fmt: skip
    table = pd.DataFrame(rows)
    table.loc[table["arm"] != "random-search", ["against_random", "against_random_seeds"]] = None
    table.to_csv(tmp_path / "search/search_effect.csv", index=False)
    text = readme.results(tmp_path).replace("\xa0", " ")
    cells = "+2.0 [-1.0, +5.0] | +4.0 [+1.0, +7.0] | +2.0 [-1.0, +5.0] | +1.0 [-2.0, +4.0] | +3.0 [0.0, +6.0]"
    for name in ("MMLU medical reasoning", "MMLU medical reasoning, answer in the passages"):
        assert f"| search | {name} | 1,871 | 3 of 5 | {cells} |\n" in text
    assert "answers the paper's open question about search tools" in text
    (tmp_path / "search/search_effect.csv").unlink()
    assert "search tools" not in readme.results(tmp_path)


def test_arms_before_the_random_one_are_turned(tmp_path):
    published(tmp_path)
    pairs = pd.read_csv(tmp_path / "small/pairs.csv")
    turned = pairs.assign(first="self", second="random", change=-pairs["change"], low=-pairs["high"], high=-pairs["low"])
    turned.to_csv(tmp_path / "small/pairs.csv", index=False)
    assert "| self: a-1.5B | +1.2 [-0.1, +2.5] |" in readme.finding(tmp_path)
    (tmp_path / "small/without.csv").unlink()
    with pytest.raises(StudyError, match="small: has no without.csv; run make publish STUDY=small again"):
        readme.finding(tmp_path)


def test_an_outcome_says_what_it_means_for_training(tmp_path):
    published(tmp_path)
    claims = pd.read_csv(tmp_path / "small/verdict.csv")
    for outcome, words in {
        "supports": "With a similar model and pool, choose questions with such a filter",
        "contradicts": "With a similar model and pool, choose questions at random",
    }.items():
        claims.assign(outcome=outcome).to_csv(tmp_path / "small/verdict.csv", index=False)
        assert f"- **In practice:** {words}" in readme.finding(tmp_path)
    claims.assign(outcome="not tested").to_csv(tmp_path / "small/verdict.csv", index=False)
    assert "**In practice:** This study says nothing about the choice of questions." in readme.finding(tmp_path)


def test_a_study_without_warnings_or_a_random_arm_has_neither_reasons_nor_a_comparison(tmp_path):
    published(tmp_path)
    pd.DataFrame(columns=["what", "where", "value"]).to_csv(tmp_path / "small/guards.csv", index=False)
    for name in ("pairs", "without"):
        pd.read_csv(tmp_path / f"small/{name}.csv").assign(first="untrained").to_csv(tmp_path / f"small/{name}.csv", index=False)
    text = readme.finding(tmp_path)
    assert "Why this" not in text
    assert "| arm:" not in text
    assert "In medicine, questions" not in text


def test_what_opens_the_readme_before_the_first_study_is_published(tmp_path):
    assert "**No result yet.** So far only a demonstration of the whole pipeline has been published." in readme.finding(tmp_path)
    published(tmp_path)
    (tmp_path / "small").rename(tmp_path / "control")
    assert "The study `small`, which addresses this question, has not been published; others have (control)." in readme.finding(
        tmp_path
    )


def test_the_first_published_study_of_the_list_opens_and_the_others_stand_below_it(tmp_path):
    """Made-up tables of `choice` beside those of `small`, and then of `medicine`: nothing else has to be changed on the day that it is complete."""
    assert readme.OPENING == ("medicine", "choice", "choice_larger", "small")
    published(tmp_path)
    alone = readme.finding(tmp_path)
    assert "The first study" not in alone
    choice = tmp_path / "choice"
    shutil.copytree(tmp_path / "small", choice)
    (choice / "primary.png").touch()
    about = {
        "model": "org/a",
        "pool": "openai/gsm8k",
        "seeds": 8,
        "confidence": 0.95,
        "power": 0.8,
        "question": "Does it matter?",
        "control": "Training works in this study.",
    }
    pd.DataFrame([about]).to_csv(choice / "study.csv", index=False)
    arms = [
        ("half", "500 with a pass rate near 0.5", "org/a", "as the study (lora)"),
        ("random", "500 at random", "chance", "as the study (lora)"),
    ]
    pd.DataFrame(arms, columns=["arm", "questions", "chosen by", "trained"]).to_csv(choice / "arms.csv", index=False)
    pairs = pd.read_csv(choice / "pairs.csv").assign(draws=8, second="half")
    pairs.to_csv(choice / "pairs.csv", index=False)
    own = {"group": "specialisation", "benchmark": "pool_held_out", "filter": "none", "seeds": 8, "draws": 8, "items": 2000, "accuracy": 0.74, "vs_untrained": 0.14,
           "vs_untrained_low": 0.12, "vs_untrained_high": 0.16}  # fmt: skip
    against = {
        "vs_random": 0.034,
        "vs_random_low": 0.012,
        "vs_random_high": 0.056,
        "vs_random_p_holm": 0.01,
        "vs_random_p": 0.001,
        "vs_random_detectable": 0.02,
    }
    pd.DataFrame([own | {"arm": "random"}, own | against | {"arm": "half"}, own | {"arm": "untrained", "accuracy": 0.6}]).to_csv(
        choice / "comparison.csv", index=False
    )
    text = readme.finding(tmp_path)
    first, _, rest = text.partition(
        "<details><summary>The first study, <code>small</code>, and why it was inconclusive</summary>\n\n"
    )
    assert first.startswith("- **Question:** Does it matter? org/a was trained with GRPO")
    assert (
        "held-out questions; 8 seeds per arm, each with its own draw of questions. Study [`choice`](parameters/choice.yaml).\n"
        in first
    )
    assert "- **Result:** This result is about arithmetic (questions of openai/gsm8k), not medicine. " in first
    assert (
        ". half is better than random: +3.4 [+1.2, +5.6] points on held-out questions (adjusted p = 0.010). This study could detect 2.0 points in one test (80 % power)."
        in first
    )
    assert "- **In practice:** With a similar model, recipe and pool, choose as in half (500 with a pass rate near 0.5)." in first
    assert '<img src="figures/choice/primary.png"' in first
    assert "| half: 500 with a pass rate near 0.5 | +3.4 [+1.2, +5.6] | -0.4 [-2.0, +1.2] |" in first
    assert "Training works in this study." in first
    assert first.count("<details>") == first.count("</details>") == 1
    assert rest.strip().startswith(alone.partition("\n")[0])
    assert "figures/small/plane.png" in rest
    assert rest.count("</details>") == 1
    shutil.copytree(choice, tmp_path / "medicine")
    pd.DataFrame([about | {"pool": "org/medqa"}]).to_csv(tmp_path / "medicine" / "study.csv", index=False)
    text = readme.finding(tmp_path)
    newest, _, below = text.partition(
        "<details><summary>Does it matter? Study <code>choice</code>, on openai/gsm8k</summary>\n\n"
    )
    assert "Study [`medicine`](parameters/medicine.yaml)" in newest
    assert "This result is about arithmetic" not in newest
    assert below.startswith(first.partition("\n")[0])
    assert below.endswith(rest)


def test_a_readme_without_its_markers_is_left_alone(tmp_path):
    published(tmp_path)
    page = tmp_path / "README.md"
    page.write_text("<!-- finding -->\n<!-- /finding -->\n")
    assert not readme.update(page, tmp_path)
    assert page.read_text() == "<!-- finding -->\n<!-- /finding -->\n"


def test_the_readme_is_up_to_date():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert readme.render(text) == text, "run make publish, or helpers.report.readme.update(README.md)"
