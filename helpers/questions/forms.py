"""Forms of questions: which columns of somebody's rows hold the question, its options and its answer.

`recognise` finds the form of a table in its column names (in upper or lower case) and in the answers of all its rows; `Form.question`
reads one row in that form. Nothing is guessed: a table that fits two forms, or none, is refused. `parameters/README.md` lists the forms.
"""

import re
from typing import Any, NamedTuple

from helpers.questions import choices
from helpers.questions.choices import Choice, Options, shown
from helpers.questions.rows import Row
from helpers.questions.text import LETTERS, number, question_id
from helpers.study.errors import StudyError, nearest
from helpers.study.schema import Pool

QUESTION = ("question", "problem")
ANSWER = ("answer_idx", "answer", "answer_index", "answerkey", "correct_answer", "final_decision", "cop", "label")
TWICE = ANSWER[:3]  # a data set that has two of these says its answers twice, so they must agree
TOPIC = ("topic", "meta_info", "subject", "subject_name", "category")
REPLACED = {"question": QUESTION, "answer": ANSWER, "topic": TOPIC}  # by a key of `pool.columns`
KEPT = {"step": int, "depth": str, "rationale": str}  # of the starter set
NUMBER = "no options, and a number as answer, also after '####' or in the \\boxed{} of solution"
READ = {"letter": "by letter", "text": "by text", "from_0": "by index from 0", "from_1": "by index from 1"}


class FormulaError(StudyError):
    """A question that is not broken, but whose answer is a formula, which the study cannot grade."""


class Form(NamedTuple):
    """The form of a table.

    words: what was recognised ("options from columns A–D, answers by text"). mapped: as `Pool.columns`. columns: those of the options.
    answers: the columns of answers, each with a key of READ; the first that a row has counts.
    """

    words: str
    mapped: dict[str, Any]
    question_column: str
    options: Options | None = None
    columns: tuple[str, ...] = ()
    answers: dict[str, str] = {}

    def question(self, row: Row, where: str) -> Row:
        """A row as question_id, id, question, options, answer, topic, …; null, NaN and "" are missing. where: begins the error line.

        Raises StudyError if the row is broken, FormulaError if its answer is a formula.
        """
        row = _plain(row, self.mapped)
        text = row.get(self.question_column)
        if not choices.is_visible(text):
            raise StudyError(
                f"{where}: {self.question_column!r} should be a text, it is {shown(text)}; "
                f"the columns are {', '.join(row) or 'empty'}"
            )
        text = f"{_passage(row['context'], where)}\n\n{text}" if "context" in row else text
        options = self.options.read(row, self.columns, where) if self.options else []
        answer = self._letter(row, options, where) if options else _number(row, self.question_column, where)
        topic = next((row[name] for name in TOPIC if name in row), "")
        known = {"question_id": question_id(text), "id": str(row.get("id", "")), "question": text}
        known |= {"options": [option.text for option in options], "answer": answer, "topic": str(topic)}
        return known | {key: row[key] for key, kind in KEPT.items() if isinstance(row.get(key), kind)}

    def _letter(self, row: Row, options: list[Choice], where: str) -> str:
        """The letter of the right option."""
        first, *others = [name for name in self.answers if name in row] or self.answers
        place = choices.PLACES[self.answers[first]](row.get(first), options)
        if place is None:
            raise StudyError(
                f"{where}: {first} {shown(row.get(first))} names none of the options {'/'.join(LETTERS[: len(options)])} "
                f"(answers are read {READ[self.answers[first]]})"
            )
        for other in others:
            if choices.PLACES[self.answers[other]](row.get(other), options) not in (place, None):
                raise StudyError(f"{where}: {first} {shown(row[first])} and {other} {shown(row[other])} name different options")
        return LETTERS[place]


def recognise(rows: list[Row], pool: Pool, where: str) -> Form:
    """The form of a table, by its columns and all its answers. Raises StudyError (where: begins its line) if none or several fit."""
    names, plain = _names(rows, pool, where), [_plain(row, pool.columns) for row in rows]
    columns = set().union(*plain)
    questions = [name for name in QUESTION if name in columns]
    if len(questions) != 1:
        first_line = "" if questions or not where.endswith((".csv", ".tsv")) else " (line 1 should name the columns)"
        raise _refusal(rows, where, f"{' and '.join(questions) or 'no column'} could be the question{first_line}")
    if not any(isinstance(row.get(questions[0]), str) for row in plain):
        raise _refusal(rows, where, f"{questions[0]!r} should be a text")
    passage = ", questions after their context" if "context" in columns else ""
    searched = {"options"} if "options" in pool.columns else columns
    found = choices.ways(searched)
    words = [kind.words.format(_range(part, names)) for kind, part in found]
    if len(found) > 1:
        raise _refusal(rows, where, f"the options could be those {' or those '.join(words)}")
    if not columns & {*ANSWER, *(() if found else ("solution",))}:
        empty = [repr(names[name]) for name in ANSWER if name in names]
        raise _refusal(rows, where, f"{empty[0]} has no value in any row" if empty else "no column could be the answer")
    if not found:
        _check_numbers(rows, plain, questions[0], where)
        return Form(f"no options, answers are numbers{passage}", pool.columns, questions[0])
    options, part = found[0]
    given = [part[0]] if options.answers else [name for name in ANSWER if name in columns]
    given = [name for name in given if name in TWICE] or given[:1]
    read, answers = [_options(options, part, row) for row in plain], {}
    for name in given:
        pairs = [(row[name], one) for row, one in zip(plain, read, strict=True) if one and name in row]
        said = (options.answers or pool.answers) if name == given[0] else None
        ways = _ways(pairs, [said] if said else list(READ))
        if not ways:
            value, one = pairs[0]
            raise _refusal(rows, where, f"{name} {shown(value)} names none of the options {'/'.join(LETTERS[: len(one)])} by letter, "
                           "text or index")  # fmt: skip
        if len(ways) > 1 and name == given[0]:
            raise _refusal(rows, where, f"{names.get(name, name)} could be read {' or '.join(READ[way] for way in ways)}, which "
                           f"differ: say which with `answers: {' or '.join(ways)}` in the pool")  # fmt: skip
        answers[name] = ways[0]
    return Form(
        f"options {words[0]}, answers {READ[answers[given[0]]]}{passage}", pool.columns, questions[0], options, part, answers
    )


def _options(kind: Options, columns: tuple[str, ...], row: Row) -> list[Choice]:
    """The options of a row; none if they are broken, which is reported where the row is read."""
    try:
        return kind.read(row, columns, "")
    except StudyError:
        return []


def _ways(pairs: list[tuple[Any, list[Choice]]], ways: list[str]) -> list[str]:
    """The ways to read a column of answers that fit most rows and differ in one; none if no answer is understood."""
    places = {way: [choices.PLACES[way](value, options) for value, options in pairs] for way in ways}
    fits = {way: sum(place is not None for place in found) for way, found in places.items()}
    best = [way for way in ways if fits[way] == max(fits.values())]
    differ = best[:1] + [way for way in best[1:] if places[way] != places[best[0]]]
    return differ if any(fits.values()) or not pairs else []


def _refusal(rows: list[Row], where: str, why: str) -> StudyError:
    """The line for a table whose form is unknown or ambiguous: why, its first row, and the forms that there are."""
    first = {key: value if len(str(value)) <= 50 else f"{str(value)[:50]}…" for key, value in rows[0].items()}
    forms = "; ".join([*(kind.looks for kind in choices.OPTIONS), NUMBER])
    return StudyError(
        f"{where}: {why}; the first row is {shown(first, 400)}. Forms of a pool: question or problem, with {forms}. Name other columns "
        "with `pool: {source: …, columns: {question: …, options: …, answer: …}}`, see parameters/README.md"
    )


def _names(rows: list[Row], pool: Pool, where: str) -> dict[str, str]:
    """Column names: lower case → original spelling. Raises StudyError if two differ by case only, or a mapped one is missing."""
    written = dict.fromkeys(key for row in rows for key in row)
    names: dict[str, str] = {}
    for name in written:
        other = names.setdefault(name.strip().lower(), name)
        if other != name:
            raise StudyError(f"{where}: columns {other!r} and {name!r} differ by case only; rename one")
    for role, named in pool.columns.items():
        for name in [named] if isinstance(named, str) else named:
            if not any(_at(row, name) is not None for row in rows):
                raise StudyError(f"{where}: pool.columns.{role}: there is no column {name!r}{nearest(name, written)}")
    return names


def _plain(row: Row, mapped: dict[str, Any]) -> Row:
    """A row with its names in lower case and without what is missing (null, NaN, ""), in the columns that `pool.columns` says."""
    plain = {key.strip().lower(): value for key, value in row.items()}
    for role, named in mapped.items():
        for name in REPLACED.get(role, ()):
            plain.pop(name, None)
        plain[role] = _at(row, named) if isinstance(named, str) else [_at(row, name) for name in named]
    return {key: value for key, value in plain.items() if value is not None and value == value and value != ""}  # NaN != NaN


def _at(row: Row, name: str) -> Any:
    """The value of a column, or of a key in it ("question.stem")."""
    if name in row or "." not in name:
        return row.get(name)
    outer, inner = name.split(".", 1)
    return _at(row[outer], inner) if isinstance(row.get(outer), dict) else None


def _range(columns: tuple[str, ...], names: dict[str, str]) -> str:
    """Columns as a person wrote them: "A–D", or one after the other."""
    written = [names.get(name, name) for name in columns]
    consecutive = len(written) > 2 and [ord(name[-1]) - ord(written[0][-1]) for name in written] == list(range(len(written)))
    return f"{written[0]}–{written[-1]}" if consecutive else ", ".join(written)


def _passage(value: Any, where: str) -> str:
    """A context as one text: a text, a list of texts, or PubMedQA's {contexts: [...]}."""
    parts = value.get("contexts") if isinstance(value, dict) else value
    parts = [parts] if isinstance(parts, str) else parts
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise StudyError(f"{where}: 'context' should be a text or a list of texts, it is {shown(value)}")
    return "\n".join(parts)


def _number(row: Row, question: str, where: str) -> str:
    """The answer of a question without options: a number, or a text that ends in "#### number" or has one in \\boxed{}."""
    column = next((name for name in (*ANSWER, "solution") if name in row), "answer")
    value = row.get(column)
    formula = _boxed(str(value))
    found = number(str(value).rsplit("####", 1)[-1] if formula is None else formula)
    if found is not None:
        return found
    if formula is not None or (question == "problem" and column != "solution"):
        raise FormulaError(f"{where}: {column} {shown(formula or value)} is no number")
    raise StudyError(
        f"{where}: 'options' should be a list of texts, it is {shown(row.get('options'))}; "
        f"without options {column!r} should be a number, it is {shown(value[-40:] if isinstance(value, str) else value)}"
    )


def _boxed(text: str) -> str | None:
    """What the last \\boxed{} of a solution holds, without LaTeX's spaces, degrees and escapes; None if there is none.

    >>> _boxed(r"so \\frac12 is \\boxed{\\$1,\\!200}"), _boxed(r"\\boxed{\\frac{1}{2}}"), _boxed("12")
    ('$1,200', '\\\\frac{1}{2}', None)
    """
    start, depth = text.rfind("\\boxed{"), 0
    for place in range(start + 6, len(text)) if start >= 0 else ():
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return re.sub(r"\\[!, ]|\\(?=[$%])|\^\\circ|\^\{\\circ\}", "", text[start + 7 : place]).strip()
    return None


def _check_numbers(rows: list[Row], plain: list[Row], question: str, where: str) -> None:
    """Raise StudyError if no row of a table without options has a number as its answer."""
    reason = None
    for row in plain:
        try:
            _number(row, question, where)
            return
        except FormulaError:
            return
        except StudyError as error:
            reason = reason or str(error).removeprefix(f"{where}: ")
    raise _refusal(rows, where, f"no column holds options: {reason}")
