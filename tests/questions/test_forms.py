"""Forms of a pool: every row of the table in parameters/README.md, what is inferred from all rows, and what is refused."""

import csv
import json
import re

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from conftest import REPOSITORY

from helpers.evaluation import mirror
from helpers.questions import hub, pools
from helpers.questions.text import LETTERS, question_id
from helpers.study.files import StudyError
from helpers.study.schema import Pool

METALS = ["Iron", "Zinc", "Gold", "Lead"]
RIGHT = [2, 0, 1, 3]  # the place of the right answer in each of four questions
TEXTS = [f"Which metal is wanted in case {number}?" for number in range(4)]


def rows(make):
    """Four questions, each a row that `make(question, options, place of the right one)` returns."""
    turned = [METALS[number:] + METALS[:number] for number in range(4)]
    return [make(*parts) for parts in zip(TEXTS, turned, RIGHT, strict=True)]


def each(names, key="answer"):
    return lambda q, o, n: {"question": q, **dict(zip(names, o, strict=True)), key: o[n]}


FORMS = {  # as in the table: the rows, the file they are in, and what is recognised
    "list": (lambda q, o, n: {"question": q, "options": o, "answer": LETTERS[n].lower()}, "jsonl",
             "options from column options, answers by letter"),
    "mapping": (lambda q, o, n: {"question": q, "options": dict(zip("DCBA", o[::-1], strict=True)), "answer": o[n],
                                 "answer_idx": LETTERS[n], "meta_info": "step1"}, "parquet",
                "options from column options, answers by letter"),
    "keys and values": (lambda q, o, n: {"question": q, "answer": o[n], "answer_idx": LETTERS[n],
                                         "options": [{"key": k, "value": v} for k, v in zip("ABCD", o, strict=True)]}, "json",
                        "options from column options, answers by letter"),
    "MMLU": (lambda q, o, n: {"question": q, "subject": "metals", "choices": o, "answer": n}, "parquet",
             "options from column choices, answers by index from 0"),
    "MMLU-Pro": (lambda q, o, n: {"question_id": 7, "question": q, "options": o, "answer": LETTERS[n], "answer_index": n,
                                  "category": "metals"}, "jsonl", "options from column options, answers by letter"),
    "ARC": (lambda q, o, n: {"id": f"arc {n}", "question": q, "choices": {"text": o, "label": list("ABCD" if n else "1234")},
                             "answerKey": ("ABCD" if n else "1234")[n]}, "parquet",
            "options from column choices, answers by letter"),
    "a column each": (each(["A", "B", "C", "D"]), "csv", "options from columns A–D, answers by text"),
    "MedMCQA": (lambda q, o, n: {"id": f"m{n}", "question": q, "opa": o[0], "opb": o[1], "opc": o[2], "opd": o[3], "cop": n + 1,
                                 "exp": None, "subject_name": "metals"}, "tsv",
                "options from columns opa–opd, answers by index from 1"),
    "other columns each": (each(["Option A", "Option B", "Option C", "Option D"]), "csv",
                           "options from columns Option A–Option D, answers by text"),
    "a cell": (lambda q, o, n: {"Question": q, "Options": str(o) if n else json.dumps(o), "Answer": f"({LETTERS[n]})"}, "csv",
               "options from column Options, answers by letter"),
    "SciQ": (lambda q, o, n: {"question": q, "distractor3": o[n - 1], "distractor1": o[n - 2], "distractor2": o[n - 3],
                              "correct_answer": o[n], "support": "Metals shine."}, "jsonl",
             "options from correct_answer, distractor1, distractor2, distractor3 in an order seeded by the question, answers by text"),
    "right and wrong": (lambda q, o, n: {"question": q, "correct_answer": o[n], "incorrect_answers": o[:n] + o[n + 1 :]}, "json",
                        "options from correct_answer, incorrect_answers in an order seeded by the question, answers by text"),
    "PubMedQA": (lambda q, o, n: {"pubid": n, "question": q, "context": {"contexts": ["Metals.", "More."], "labels": ["a", "b"]},
                                  "final_decision": ["yes", "no", "maybe", "no"][n]}, "parquet",
                 "options yes, no and maybe, answers by text, questions after their context"),
    "numbers": (lambda q, o, n: {"question": q, "answer": n + 0.5}, "csv", "no options, answers are numbers"),
    "GSM8K": (lambda q, o, n: {"question": q, "answer": f"600 + 600 = <<600+600=1200>>1200.\n#### 1,20{n}"}, "jsonl",
              "no options, answers are numbers"),
    "MATH": (lambda q, o, n: {"problem": q, "solution": rf"By $\boxed{{x}}$ it is $\boxed{{{n},\!000}}$." if n else
                              r"So $\boxed{\frac{1}{2}}$."}, "jsonl", "no options, answers are numbers"),
    "MATH-500": (lambda q, o, n: {"problem": q, "solution": "…", "answer": f"{n}^\\circ" if n > 2 else str(n)}, "json",
                 "no options, answers are numbers"),
    "columns": (lambda q, o, n: {"stem": q, "o1": o[0], "o2": o[1], "o3": o[2], "o4": o[3], "key": LETTERS[n]}, "csv",
                "options from column options, answers by letter"),
}  # fmt: skip
MAPPED = {"columns": {"question": "stem", "options": ["o1", "o2", "o3", "o4"], "answer": "key"}}


def write(path, values):
    """Rows in the format that the suffix of `path` says."""
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pa.Table.from_pylist(values), path)
    elif path.suffix in (".csv", ".tsv"):
        with path.open("w", newline="", encoding="utf-8-sig") as file:  # as spreadsheets write it
            table = csv.DictWriter(file, values[0], delimiter="\t" if path.suffix == ".tsv" else ";")
            table.writeheader()
            table.writerows(values)
    else:
        path.write_text(json.dumps(values) if path.suffix == ".json" else "\n".join(map(json.dumps, values)))
    return path


def load(path, **how):
    pool = Pool(source=str(path), **how)
    return pools.load_pool(pool), pools.recognised(pools.pool_facts(pool))


def right(table):
    """The text of each right answer."""
    return [row.options[LETTERS.index(row.answer)] for row in table.itertuples()]


def test_the_table_of_forms_in_the_readme_is_what_is_tested():
    section = (REPOSITORY / "parameters" / "README.md").read_text().split("## Forms of a pool")[1].split("\n## ")[0]
    assert re.findall(r"^\| ([^|]+?) \|", section, re.MULTILINE)[2:] == list(FORMS)


@pytest.mark.parametrize("form", FORMS)
def test_forms(tmp_path, form):
    make, suffix, words = FORMS[form]
    path = write(tmp_path / f"mine.{suffix}", rows(make))
    table, line = load(path, columns=MAPPED.get(form, {}))
    assert line.startswith(f"mine.{suffix}: {len(table)} questions, {words}")
    if form == "PubMedQA":
        assert table["question"].tolist() == [f"Metals.\nMore.\n\n{text}" for text in TEXTS]
        assert right(table) == ["maybe", "yes", "no", "no"]
    elif words.startswith("no options"):
        assert set(table["options"].map(len)) == {0}
        expected = {"numbers": ["2.5", "0.5", "1.5", "3.5"], "GSM8K": ["1202", "1200", "1201", "1203"],
                    "MATH": ["2000", "1000", "3000"], "MATH-500": ["2", "0", "1"]}[form]  # fmt: skip
        assert table["answer"].tolist() == expected
        assert ("left out: 1 with a formula as answer" in line) == (len(expected) == 3)
    else:
        wanted = rows(lambda q, o, n: (question_id(q), o, o[n]))
        assert table["question_id"].tolist() == [id for id, *_ in wanted]
        assert right(table) == [text for *_, text in wanted]
        ordered = table["options"].tolist() == [options for _, options, _ in wanted]
        assert ordered or "order seeded" in words
    assert set(table["topic"]) <= {"", "metals", "step1"}


def test_the_order_of_options_without_one_does_not_depend_on_the_row(tmp_path):
    make = FORMS["SciQ"][0]
    first, _ = load(write(tmp_path / "a.jsonl", rows(make)))
    turned = [
        dict(zip(row, [row["question"], *list(row.values())[3:0:-1], *list(row.values())[4:]], strict=True)) for row in rows(make)
    ]
    again, _ = load(write(tmp_path / "b.jsonl", turned[::-1]))
    assert first["options"].tolist() == again["options"].tolist()[::-1]
    many = [make(f"Question {n}?", METALS, 0) for n in range(200)]
    counts = load(write(tmp_path / "c.jsonl", many))[0]["answer"].value_counts()
    assert counts.min() > 30


def test_a_file_that_names_its_rows_and_one_question_of_its_own(tmp_path):
    values = rows(FORMS["list"][0])
    for name, value in (("named", {"data": values}), ("by_id", {f"q{n}": row for n, row in enumerate(values)})):
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
        assert load(tmp_path / f"{name}.json")[0]["question"].tolist() == TEXTS
    assert load(tmp_path / "by_id.json")[0]["id"].tolist() == ["q0", "q1", "q2", "q3"]
    pd.DataFrame(values).to_json(tmp_path / "columns.json")
    assert load(tmp_path / "columns.json")[0]["question"].tolist() == TEXTS
    (tmp_path / "lines.json").write_text("\n".join(map(json.dumps, values)))
    assert len(load(tmp_path / "lines.json")[0]) == 4
    (tmp_path / "one.json").write_text(json.dumps(values[0]))
    assert len(load(tmp_path / "one.json")[0]) == 1


def test_columns_may_be_keys_of_a_column(tmp_path):
    make = lambda q, o, n: {"question": {"stem": q, "choices": [{"text": text, "label": letter} for letter, text in  # noqa: E731
                                                                zip("ABCD", o, strict=True)]}, "answerKey": LETTERS[n]}  # fmt: skip
    path = write(tmp_path / "arc.jsonl", rows(make))
    with pytest.raises(StudyError, match="'question' should be a text; the first row is"):
        load(path)
    table, _ = load(path, columns={"question": "question.stem", "options": "question.choices"})
    assert right(table) == rows(lambda q, o, n: o[n])


def test_words_that_stand_for_missing_values_are_options(tmp_path):
    path = write(tmp_path / "mine.csv", [{"question": "Which?", "A": "None", "B": "NA", "C": "nan", "D": "", "answer": "NA"}])
    table, line = load(path)
    assert table["options"].tolist() == [["None", "NA", "nan"]]
    assert (right(table), "answers by text" in line) == (["NA"], True)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "train.csv").write_text(path.read_text(encoding="utf-8-sig").replace(";", ","))
    assert load(folder)[0]["options"].tolist() == [["None", "NA", "nan"]]


def test_a_pool_does_not_take_the_missing_values_of_a_benchmark_that_was_read_before(tmp_path, monkeypatch):
    """`datasets` caches what it has read, for both."""
    monkeypatch.setenv("OFFLINE_MIRROR", str(tmp_path))
    folder = tmp_path / "org" / "exam"
    folder.mkdir(parents=True)
    (folder / "train.csv").write_text("question,answer\nWhich?,NA\n", encoding="utf-8")
    assert mirror.load("org/exam", None, "train")["answer"] == [None]
    assert hub.read("org/exam", None, "train", None, str(tmp_path), "pool.source")[0]["answer"] == ["NA"]
    assert mirror.load("org/exam", None, "train")["answer"] == [None], "nor the other way round"


def test_a_folder_is_read_again_when_a_file_in_it_changes_and_is_part_of_the_inputs(tmp_path, parameters):
    from helpers.study.study import open_study

    folder = tmp_path / "set" / "data"
    folder.mkdir(parents=True)
    values = [{"question": f"Question {n}?", "options": METALS, "answer": "A"} for n in range(30)]
    write(folder / "train-00000-of-00001.parquet", values)
    study = open_study(str(parameters(lambda v: v.update(pool="set"))))
    before, table = study.inputs("held_out"), pools.study_pool(study)
    assert (
        pools.recognised(pools.pool_facts(study.pool, study.file))
        == "set: 30 questions, options from column options, answers by letter"
    )
    write(folder / "train-00000-of-00001.parquet", [*values[:29], values[29] | {"answer": "B"}])
    assert study.inputs("held_out") != before
    assert pools.study_pool(study)["answer"].tolist()[-1] == "B"
    assert table["answer"].tolist()[-1] == "A"


OWN = {"question": "Which metal?", "options": ["Iron", "Zinc"], "answer": "A"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([{"stem": "Which?", "answer": "A"}], "no column could be the question; the first row is {'stem': 'Which?', 'answer': 'A'}"),
        ([{"question": "Which?", "problem": "What?", "answer": "1"}], "question and problem could be the question"),
        ([{"question": "Which?", "options": ["a", "b"]}], "no column could be the answer; the first row is {'question': 'Which?'"),
        ([OWN | {"A": "Iron", "B": "Zinc"}], "the options could be those from column options or those from columns A, B"),
        ([{"question": "Which?", "options": ["3", "1", "2"], "answer": 1}],
         "answer could be read by text or by index from 1, which differ: say which with `answers: text or from_1` in the pool"),
        ([{"question": "Which?", "options": ["x", "y", "z"], "answer": 1}], "by index from 0 or by index from 1, which differ"),
        ([{"question": "Which?", "answer": "Iron"}],
         "no column holds options: 'options' should be a list of texts, it is None; without options 'answer' should be a number, "
         "it is 'Iron'; the first row is {'question': 'Which?', 'answer': 'Iron'}"),
        ([OWN | {"answer": "Gold"}], "answer 'Gold' names none of the options A/B by letter, text or index"),
    ],
)  # fmt: skip
def test_an_unknown_or_ambiguous_form_shows_the_first_row_and_the_forms(tmp_path, values, expected):
    with pytest.raises(StudyError) as raised:
        load(write(tmp_path / "mine.jsonl", values))
    line = str(raised.value)
    assert expected in line
    assert "the first row is {" in line
    assert "Forms of a pool: question or problem, with options or choices" in line
    assert "columns: {question: …" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([OWN | {"Question": "x"}], "columns 'question' and 'Question' differ by case only"),
        ([OWN | {"answer_idx": "B"}], "question 1: answer_idx 'B' and answer 'A' name different options"),
        ([OWN, OWN | {"answer": "B"}], "question 2 is question 1 with another answer; correct one"),
        ([OWN, {"question": "What?", "options": ["Iron", None, "Zinc"], "answer": "A"}], "question 2: 'options' should be a list of texts"),
        ([{"question": "Which?", "A": "Iron", "B": None, "C": "Zinc", "answer": "A"}], "options should go by A, B, C … without a gap"),
        ([OWN | {"context": {"title": ["x"]}}], "question 1: 'context' should be a text or a list of texts"),
        ([OWN | {"question": "\u200b"}], "question 1: 'question' should be a text"),
        ([OWN | {"answer": 10**400}, OWN], "names none of the options A/B (answers are read by letter)"),
        ([OWN | {"answer": ["A"]}, OWN], "question 1: answer ['A'] names none of the options A/B"),
        ([OWN | {"answer": "A,B"}, OWN], "question 1: answer 'A,B' names none of the options A/B"),
        ([OWN | {"options": {"1": "Iron", "B": "Zinc"}}], "they go by 1, B"),
        ([OWN | {"options": ["Iron", True]}], "'options' should be a list of texts, it is ['Iron', True]"),
        ([{"problem": "What?", "solution": "It is 5."}], "without options 'solution' should be a number, it is 'It is 5.'"),
        ([{"question": "Which?", "choices": {"text": ["Iron", "Zinc"], "label": ["A"]}, "answer": "A"}], "'choices' should be a list of"),
        ([{"problem": "What?", "solution": r"$\boxed{\frac12}$"}], "the answers of all 1 questions are formulas"),
        ([OWN, {"question": "How many?", "answer": "3"}], "some questions have options, others ask for a number; make them two pools"),
    ],
)  # fmt: skip
def test_broken_rows(tmp_path, values, expected):
    with pytest.raises(StudyError) as raised:
        load(write(tmp_path / "mine.jsonl", values))
    assert expected in str(raised.value)
    assert "\n" not in str(raised.value)


def test_answers_may_be_said_and_columns_must_exist(tmp_path):
    path = write(tmp_path / "mine.jsonl", [{"question": "Which?", "options": ["x", "y", "z"], "answer": 1}])
    assert [right(load(path, answers=way)[0]) for way in ("from_0", "from_1")] == [["y"], ["x"]]
    with pytest.raises(StudyError, match=r"pool.columns.answer: there is no column 'answr'; did you mean 'answer'\?"):
        load(path, columns={"answer": "answr"})
    with pytest.raises(ValueError, match="answer should be the name of one column"):
        Pool(source="mine.csv", columns={"answer": ["a", "b"]})


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.csv", 'question,A,B,answer\nWhich, of these?,Iron,Zinc,A\n', "line 2 has more values than the 4 columns of line 1"),
        ("a.csv", 'question,A,B,answer\n"Which?,Iron,Zinc,A\n', "not valid CSV after line 1 (unexpected end of data)"),
        ("a.csv", "question,A,A,answer\nWhich?,Iron,Zinc,A\n", "line 1 names the column 'A' twice"),
        ("a.csv", "", "the pool is empty"),
        ("a.csv", "question,options,answer\nWhich?,['Iron' 'Zinc'],A\n", "should be 2 to 10 different texts, they are ['IronZinc']"),
        ("a.csv", "Which?,Iron,Zinc,A\nWhat?,Iron,Zinc,B\n", "no column could be the question (line 1 should name the columns); the first row is {'Which?': '"),
        ("a.parquet", "version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a pointer of Git LFS, not the data"),
        ("a.csv", "version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "fetch the file with `git lfs pull`"),
        ("a.jsonl", "\n<!DOCTYPE html><html>Not Found</html>", "is a web page, not data; download the file itself"),
        ("a.csv", "question,A,B,Answer\nWhat?,one,two,\nWhere?,one,two,\n", "'Answer' has no value in any row"),
        ("a.csv", "question,answer\n" + "x" * 200_000 + ",3\n", "not valid CSV after line 1 (field larger than field limit"),
        ("a.jsonl", "[" * 100_000, "line 1 cannot be read as JSON (maximum recursion depth"),
        ("a.json", "[" * 100_000, "cannot be read as JSON (maximum recursion depth"),
        ("a.jsonl", '{"question": "How many?", "answer": ' + "9" * 5000 + "}", "line 1 cannot be read as JSON (Exceeds the limit"),
        ("a.tsv", "question\tanswer\n", "the pool is empty"),
        ("a.json", "[1, 2]", "should be a list of JSON objects"),
        ("a.json", '[{"question": "Which?",}]', "line 1 is not valid JSON"),
        ("a.json", "3", "should be a list of JSON objects"),
        ("a.json", "{}", "the pool is empty"),
        ("a.xlsx", "", "a file of your own should be .jsonl, .json, .csv, .tsv or .parquet"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_read(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text)
    with pytest.raises(StudyError) as raised:
        load(tmp_path / name)
    assert expected in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_parquet_file_with_a_column_twice_and_one_with_a_map_of_options(tmp_path):
    path = tmp_path / "mine.parquet"
    pyarrow.parquet.write_table(pa.table([["Which?"], ["3"], ["4"]], names=["question", "answer", "answer"]), path)
    with pytest.raises(StudyError, match="mine.parquet names the column 'answer' twice"):
        load(path)
    kind = pa.schema([("question", pa.string()), ("options", pa.map_(pa.string(), pa.string())), ("answer", pa.string())])
    row = {"question": "Which?", "options": [("B", "Zinc"), ("A", "Iron")], "answer": "B"}
    pyarrow.parquet.write_table(pa.Table.from_pylist([row], schema=kind), path)
    assert right(load(path)[0]) == ["Zinc"]


def test_a_text_file_in_another_encoding_is_one_line(tmp_path):
    (tmp_path / "mine.csv").write_bytes("question,answer\nWie groß?,3\n".encode("latin-1"))
    with pytest.raises(StudyError, match="mine.csv: is not UTF-8 text .*; save it as UTF-8"):
        load(tmp_path / "mine.csv")
