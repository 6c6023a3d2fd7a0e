"""The project's own tasks load, print and judge as they say, on mirrors of a few rows made here."""

import contextlib
import logging
from collections import Counter
from types import SimpleNamespace

import datasets
import pandas as pd
import pytest
import yaml
from layouts import ABCD, DOCUMENTS, TEN

from helpers.evaluation import documents, judging, reasoning, sources
from helpers.evaluation.mirror import load
from helpers.questions.pools import load_starter
from helpers.study.errors import StudyError
from helpers.study.places import TASKS

# Loading, through the harness, from a mirror of a few rows


def write(folder, config, split, rows):
    """One split of a data set as a mirror has it; its README names it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (config or "data") / f"{split}.parquet"
    path.parent.mkdir(exist_ok=True)
    datasets.Dataset.from_list(rows).to_parquet(path)
    readme = folder / "README.md"
    head = yaml.safe_load(readme.read_text().strip("-\n")) if readme.exists() else {"configs": []}
    configs = {entry["config_name"]: entry for entry in head["configs"]}
    entry = configs.setdefault(config or "default", {"config_name": config or "default", "data_files": []})
    entry["data_files"].append({"split": split, "path": str(path.relative_to(folder))})
    readme.write_text(f"---\n{yaml.safe_dump({'configs': list(configs.values())})}---\n")


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """An empty mirror: OFFLINE_MIRROR and the working folder, with its own cache."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(
        "helpers.models.loading.load_tokenizer", lambda model: SimpleNamespace(chat_template=None, bos_token=None)
    )
    monkeypatch.setenv("OFFLINE_MIRROR", str(folder))
    datasets.disable_progress_bars()
    with contextlib.chdir(folder):
        yield folder


@pytest.fixture(scope="session")
def manager():
    """Makes the harness's task manager for the project's tasks."""
    from lm_eval.tasks import TaskManager

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    prompt = {"style": "plain", "worked_examples": 0, "prefill": "<think>"}

    def make(**metadata):
        metadata = {"prompt": prompt, "model": "any"} | metadata
        return TaskManager(include_path=str(TASKS), include_defaults=False, metadata=metadata)

    return make


def one(manager, name):
    return manager.load([name])["tasks"][name]


def request(task, position=0, shots=0):
    """Context, continuations and target of one document, as the harness would send them."""
    doc = list(task.eval_docs)[position]
    context = task.fewshot_context(doc, shots)
    sent = task.construct_requests(doc, context, metadata=(task.task_name, position, 1))
    return context, [instance.args[1] for instance in sent], task.doc_to_target(doc)


def test_every_task_file_names_functions_that_exist_and_a_version(manager):
    from lm_eval.tasks._yaml_loader import load_yaml

    files = sorted(TASKS.glob("[!_]*.yaml"))
    names = {load_yaml(path).get("task", "") if "group" not in load_yaml(path) else load_yaml(path)["group"] for path in files}
    assert names == {path.stem for path in files}
    assert names <= set(manager().all_tasks)
    assert all(load_yaml(path)["metadata"]["version"] for path in files)


def test_mmlu_pro_likelihood_prints_what_mmlu_pro_prints_and_lets_only_given_letters_compete(mirror, manager):
    from lm_eval.tasks.mmlu_pro.utils import doc_to_text

    rows = [
        {"question_id": n, "question": f"Question {n}?", "options": ["one ", "two", "three"][: 3 - n % 2] , "answer": "B",
         "answer_index": 1, "cot_content": "A: Let's think step by step. So B.", "category": category}
        for n, category in enumerate(["health", "law", "health", "computer science"])
    ]  # fmt: skip
    write(mirror / "TIGER-Lab/MMLU-Pro", None, "test", rows)
    write(mirror / "TIGER-Lab/MMLU-Pro", None, "validation", rows)
    task = one(manager(), "mmlu_pro_likelihood_health")
    context, letters, target = request(task, 1, shots=1)
    assert [doc["question"] for doc in task.eval_docs] == ["Question 0?", "Question 2?"]
    assert (letters, target) == ([" A", " B", " C"], 1)
    assert context == (
        "The following are multiple choice questions (with answers) about health.\n"
        "Question:\nQuestion 0?\nOptions:\nA. one\nB. two\nC. three\nAnswer: B\n\n"
        "Question:\nQuestion 2?\nOptions:\nA. one\nB. two\nC. three\nAnswer:"
    )
    assert doc_to_text(task.eval_docs[1]) == task.doc_to_text(task.eval_docs[1]) + " Let's think step by step."
    task = one(manager(), "mmlu_pro_likelihood_computer_science")
    assert request(task)[1] == [" A", " B"]
    assert "about computer science." in request(task)[0]


def test_the_group_of_mmlu_pro_likelihood_holds_the_subjects_of_mmlu_pro():
    from lm_eval import tasks
    from lm_eval.tasks._yaml_loader import load_yaml

    theirs = load_yaml(f"{tasks.__path__[0]}/mmlu_pro/_mmlu_pro.yaml")["task"]
    ours = load_yaml(TASKS / "mmlu_pro_likelihood.yaml")["task"]
    assert ours == [name.replace("mmlu_pro_", "mmlu_pro_likelihood_") for name in theirs]


def test_medxpertqa_prints_its_options_once(mirror, manager):
    rows = [{"id": "Text-1", "label": "J", "options": TEN, "question": "Which?\nAnswer Choices: (A) option a (J) option j"}]
    write(mirror / "TsinghuaC3I/MedXpertQA", "Text", "test", rows)
    write(mirror / "TsinghuaC3I/MedXpertQA", "Text", "dev", rows)
    context, letters, target = request(one(manager(), "medxpertqa"))
    assert context == "Question: Which?\n" + "".join(f"{letter}. {text}\n" for letter, text in TEN.items()) + "Answer:"
    assert (letters, target) == ([f" {letter}" for letter in TEN], 9)


def test_medbullets_has_as_many_letters_as_options(mirror, manager):
    row = {"question": "Which?", "answer": "digoxin", "answer_idx": "D"}
    write(mirror / "medbullets", "op4", "test", [row | {"options": ABCD}])
    write(mirror / "medbullets", "op5", "test", [row | {"options": ABCD | {"E": "ether"}}, row | {"options": ABCD | {"E": None}}])
    assert request(one(manager(), "medbullets_op4"))[1:] == ([" A", " B", " C", " D"], 3)
    five = one(manager(), "medbullets_op5")
    assert [len(request(five, n)[1]) for n in (0, 1)] == [5, 4]
    assert request(five, 1)[0] == "Question: Which?\nA. aspirin\nB. biotin\nC. codeine\nD. digoxin\nAnswer:"


def test_medbullets_without_a_mirror_is_its_authors_file(mirror, monkeypatch):
    row = "http://x,Which?,None,biotin,codeine,digoxin"
    for name, text in {
        "op4": f'link,question,opa,opb,opc,opd,answer_idx,answer,explanation\n{row},A,None,"Since,\nwell."\n',
        "op5": f"link,question,opa,opb,opc,opd,ope,answer_idx,answer,explanation\n{row},ether,E,ether,So.\n{row},,D,digoxin,So.\n",
    }.items():
        (mirror / f"{name}.csv").write_text(text)
    monkeypatch.setattr(sources, "MEDBULLETS", f"{mirror}/{{config}}.csv")
    (four,) = sources.medbullets("op4")["test"].to_list()
    options = {"A": "None", "B": "biotin", "C": "codeine", "D": "digoxin"}
    assert four == {"question": "Which?", "options": options, "answer": "None", "answer_idx": "A"}
    five = sources.medbullets("op5")["test"].to_list()
    assert [documents.options_of(doc) for doc in five] == [[*options.values(), "ether"], [*options.values()]]
    assert [documents.answer_of(doc) for doc in five] == [4, 3]


def test_medbullets_that_cannot_be_had_is_one_line(mirror, monkeypatch):
    monkeypatch.setattr(sources, "MEDBULLETS", f"{mirror}/nowhere_{{config}}.csv")
    with pytest.raises(StudyError, match="medbullets: not in OFFLINE_MIRROR=.*nowhere_op4.csv is not available.*leave out medbullets_op4") as raised:  # fmt: skip
        sources.medbullets("op4")
    assert "\n" not in str(raised.value)


def test_the_stand_ins_print_what_the_harness_prints(mirror, manager):
    from lm_eval.tasks.medmcqa import utils_medmcqa
    from lm_eval.tasks.medqa import preprocess_medqa

    row = {"question": "Which? ", "answer": "codeine", "options": ABCD, "answer_idx": "C", "meta_info": None}
    write(mirror / "GBaker/MedQA-USMLE-4-options", None, "test", [row])
    write(mirror / "GBaker/MedQA-USMLE-4-options", None, "train", [row | {"question": "Trained on?"}])
    context, letters, target = request(one(manager(), "medqa_4options_mirror"))
    endings = {f"ending{n}": text for n, text in enumerate(ABCD.values())}
    assert context == preprocess_medqa.doc_to_text({"sent1": "Which? ", **endings})
    assert (letters, target) == ([" A", " B", " C", " D"], 2)
    write(mirror / "openlifescienceai/medmcqa", None, "validation", [DOCUMENTS["medmcqa"]])
    context, letters, target = request(one(manager(), "medmcqa_mirror"))
    assert context == utils_medmcqa.doc_to_text(DOCUMENTS["medmcqa"])
    assert (letters, target) == ([" A", " B", " C", " D"], 2)


def test_pubmedqa_is_the_official_test_and_nothing_else(mirror, manager):
    ids = pd.read_csv(TASKS / "pubmedqa_test_ids.csv")["pubid"].tolist()
    assert len(set(ids)) == 500
    row = {"question": "Does it?", "context": {"contexts": ["One.", "Two."]}, "final_decision": "maybe"}
    write(mirror / "qiaojin/PubMedQA", "pqa_labeled", "train", [row | {"pubid": n} for n in [1, *ids[::-1]]])
    task = one(manager(), "pubmedqa_mirror")
    assert [doc["item_id"] for doc in task.eval_docs] == [str(n) for n in ids]
    assert [doc["item_id"] for doc in task.training_docs()] == ["1"]
    assert request(task) == ("Abstract: One.\nTwo.\nQuestion: Does it?\nAnswer:", [" yes", " no", " maybe"], "maybe")
    (mirror / "qiaojin/PubMedQA/README.md").unlink()
    write(mirror / "qiaojin/PubMedQA", "pqa_labeled", "train", [row | {"pubid": n} for n in ids[:400]])
    with pytest.raises(StudyError, match="100 of the 500 test questions are not in pqa_labeled"):
        one(manager(), "pubmedqa_mirror")


def check_reasoning(task, question, answer, options):
    doc = task.eval_docs[0]
    assert task.doc_to_text(doc) == doc["prompt"]
    assert question in doc["prompt"]
    assert doc["prompt"].endswith("Assistant: <think>")
    assert (doc["answer"], doc["prefill"], doc["options"]) == (answer, "<think>", options)
    assert task.process_results(doc, [f"hm</think><answer>{answer}</answer>"]) == {"acc": 1.0}
    assert task.process_results(doc, ["hm</think><answer></answer>"]) == {"acc": 0.0}


def test_reasoning_mode_on_medqa_and_a_held_out_part_of_the_pool(mirror, manager):
    row = {"question": "Which?", "answer": "codeine", "options": ABCD, "answer_idx": "C", "meta_info": "step1"}
    write(mirror / "GBaker/MedQA-USMLE-4-options", None, "test", [row])
    task = one(manager(), "medqa_reasoning")
    check_reasoning(task, "Which?\nA. aspirin\nB. biotin\nC. codeine\nD. digoxin", "C", list(ABCD.values()))
    assert (task.eval_docs[0]["item_id"], task.eval_docs[0]["subject"]) == ("0", "step1")
    held_out = [{"question_id": "q1", "question": "Held?", "options": ["yes", "no"], "answer": "B", "topic": "Surgery"}]
    task = one(manager(held_out=held_out), "pool_held_out")
    check_reasoning(task, "Held?\nA. yes\nB. no", "B", ["yes", "no"])
    assert (task.eval_docs[0]["item_id"], task.eval_docs[0]["subject"]) == ("q1", "Surgery")
    with pytest.raises(StudyError, match="set split.held_out"):
        one(manager(), "pool_held_out")


def test_the_dev_set_of_medqa_is_the_same_in_both_of_its_forms(mirror, manager):
    endings = {f"ending{n}": text for n, text in enumerate(ABCD.values())}
    pairs = [{"key": letter, "value": text} for letter, text in ABCD.items()]
    forms = {
        ("GBaker/MedQA-USMLE-4-options-hf", None): {"sent1": "Which?", "sent2": "", "label": 2} | endings,
        ("bigbio/med_qa", "med_qa_en_4options_source"): {
            "question": "Which?",
            "answer_idx": "C",
            "meta_info": "step1",
            "options": pairs,
        },
    }
    for (dataset, config), row in forms.items():
        write(mirror / dataset, config, "validation", [row])
        task = one(manager(), "medqa_dev_reasoning")
        check_reasoning(task, "Which?\nA. aspirin\nB. biotin\nC. codeine\nD. digoxin", "C", list(ABCD.values()))
    assert task.eval_docs[0]["subject"] == "step1"


def test_reasoning_mode_takes_the_medical_subjects_of_mmlu_in_turn(mirror, manager):
    for number, subject in enumerate(reasoning.MEDICAL_SUBJECTS):
        rows = [
            {"question": f"{subject} {n}?", "subject": "", "choices": ["a", "b", "c", "d"], "answer": n}
            for n in range(1 + number % 3)
        ]
        write(mirror / "cais/mmlu", subject, "test", rows)
    task = one(manager(), "mmlu_medical_reasoning")
    subjects = [doc["subject"] for doc in task.eval_docs]
    assert tuple(subjects[:9]) == reasoning.MEDICAL_SUBJECTS
    assert Counter(subjects) == {subject: 1 + n % 3 for n, subject in enumerate(reasoning.MEDICAL_SUBJECTS)}
    assert len({doc["item_id"] for doc in task.eval_docs}) == len(subjects) == 18
    assert {(doc["item_id"].split("-")[1], doc["answer"]) for doc in task.eval_docs} == {("0", "A"), ("1", "B"), ("2", "C")}
    check_reasoning(task, "anatomy 0?\nA. a\nB. b\nC. c\nD. d", "A", ["a", "b", "c", "d"])


def test_reasoning_mode_on_gsm8k_compares_numbers(mirror, manager):
    write(
        mirror / "openai/gsm8k", "main", "test", [{"question": "How many?", "answer": "2 * 600 = <<2*600=1200>>1200\n#### 1,200"}]
    )
    task = one(manager(), "gsm8k_reasoning")
    check_reasoning(task, "How many?", "1200", [])
    assert task.process_results(task.eval_docs[0], ["</think><answer>$1,200.00</answer>"]) == {"acc": 1.0}
    assert task.process_results(task.eval_docs[0], ["</think><answer>120</answer>"]) == {"acc": 0.0}


def test_clinical_calculation_counts_numbers_within_the_limits(mirror, manager):
    row = {"Row Number": "1", "Calculator Name": "Clearance", "Question": "What is it in mL/min?", "Ground Truth Answer": "25.238",
           "Lower Limit": "23.9761", "Upper Limit": "26.4999", "Patient Note": "An old man.",
           "Relevant Entities": "{'sex': 'Male', 'age': [87, 'years'], 'Stroke history.': False}"}  # fmt: skip
    others = [
        {"Row Number": "2", "Ground Truth Answer": "-1", "Lower Limit": "-1", "Upper Limit": "-1"},
        {"Row Number": "3", "Ground Truth Answer": "09/23/2014", "Lower Limit": "09/23/2014", "Upper Limit": "09/23/2014"},
        {"Row Number": "4", **dict.fromkeys(["Ground Truth Answer", "Lower Limit", "Upper Limit"], "('0 weeks', '6 days')")},
    ]
    write(mirror / "ncbi/MedCalc-Bench-v1.0", None, "test", [row, *(row | other for other in others)])
    task = one(manager(), "medcalc_bench")
    assert [doc["item_id"] for doc in task.eval_docs] == ["1", "2"]  # dates, and weeks with days, are left out
    first, second = task.eval_docs
    assert first["question"] == "Patient:\n- sex: Male\n- age: 87 years\n- Stroke history: no\n\nWhat is it in mL/min?"
    assert "An old man." not in first["prompt"]
    assert (first["answer"], first["subject"], second["answer"]) == ("25.238", "Clearance", "-1")
    right = lambda doc, text: task.process_results(doc, [f"hm</think><answer>{text}</answer>"])["acc"]  # noqa: E731
    assert [right(first, text) for text in ("25.238", "24", "26.4999", "26.5 mL/min", "23.9", "about 25 or 26", "")] == [
        1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]  # fmt: skip
    assert [right(second, text) for text in ("-1", "1", "-1.0")] == [1.0, 0.0, 1.0]


def test_rows_are_those_of_the_file_as_it_is_now_and_of_this_mirror(mirror, monkeypatch):
    def written(place, count):
        write(place / "openai/gsm8k", "main", "test", [{"question": str(n), "answer": "#### 1"} for n in range(count)])
        return len(load("openai/gsm8k", "main", "test"))

    assert written(mirror, 1) == 1
    (mirror / "openai/gsm8k/README.md").unlink()
    assert written(mirror, 2) == 2
    monkeypatch.setenv("OFFLINE_MIRROR", str(mirror.parent / "other"))
    assert written(mirror.parent / "other", 3) == 3
    assert len(load("openai/gsm8k", "main", "test")) == 3


def test_a_mirror_whose_data_set_is_broken_is_reported_in_one_line(mirror):
    write(mirror / "openai/gsm8k", "main", "test", [{"question": "?", "answer": "#### 1"}])
    (mirror / "openai/gsm8k/main/test.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(StudyError, match="openai/gsm8k: split 'test' of 'main' is not available from") as outcome:
        load("openai/gsm8k", "main", "test")
    assert "\n" not in str(outcome.value)


def test_starter_set_keeps_its_subjects_apart():
    chinese = sources.starter_set("chinese", "medical")["test"]
    assert len(chinese) == (load_starter("chinese")["subject_group"] == "medical").sum()
    doc = chinese[0]
    assert documents.options_of(doc)[doc["target"]] == documents.options_of(doc)[documents.answer_of(doc)]


def test_same_number():
    assert judging.same_number({"answer": "1200"}, ["$1,200."]) == {"exact_match": 1.0}
    assert judging.same_number({"answer": "1200"}, ["12"]) == {"exact_match": 0.0}
    assert judging.same_number({"answer": "1200"}, ["[invalid]"]) == {"exact_match": 0.0}
