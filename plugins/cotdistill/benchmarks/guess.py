"""Guess how the rows of a file become questions, for the draft of a benchmark.

A guess is accepted only if every row looked at can be read with it; otherwise the error names the
columns of the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cotdistill.benchmarks.benchmark import Benchmark, Shape
from cotdistill.benchmarks.readings import (
    inline_choices,
    letter,
    number,
    stem_and_choices,
    yes_no,
)
from cotdistill.errors import DataError, Fault
from cotdistill.grading.extract.gold import kind_of
from cotdistill.grading.kinds import Kind

Row = Mapping[str, Any]

QUESTIONS = (
    "question", "problem", "query", "question_stem", "prompt", "input", "instruction", "text",
)  # fmt: skip
CONTEXTS = ("passage", "context", "body", "story", "article")
GOLDS = (
    "gold", "final_answer", "answer_value", "answer", "answerkey", "answer_key", "target", "label",
    "correct_answer", "correct", "correct_option", "expected", "result", "output", "response",
    "solution",
)  # fmt: skip
OPTIONS = ("options", "choices", "endings")
RATIONALES = ("rationale", "solution", "explanation", "reasoning", "cot", "chain", "answer_cot")
META = {
    "subject": ("subject", "topic", "category", "type"),
    "level": ("level", "difficulty"),
    "source_id": ("id", "unique_id", "question_id", "item_id", "idx"),
}
_LETTERS = "ABCDEFGHIJ"
_INLINE = "inline"  # the choices are in the text of the question


@dataclass(frozen=True)
class Guess:
    """A shape of `dataset_info/benchmarks/NAME.yaml`, and how its answers compare.

    `inline` says that the choices are in the text of the question; `columns` are those that the
    shape reads, and `unread` the others.
    """

    kind: Kind
    shape: dict[str, Any]
    inline: bool
    columns: tuple[str, ...]
    unread: tuple[str, ...]

    def benchmark(self, example: Row) -> Benchmark:
        """Return a nameless benchmark that reads rows by this guess."""
        return Benchmark(
            name="draft",
            about="",
            licence="",
            kind=self.kind,
            inline=self.inline,
            rows={},
            shapes=(Shape.model_validate(self.shape),),
            examples=(dict(example),),
        )


def guess_shape(rows: Sequence[Row], place: str) -> Guess:
    """Return how rows become questions.

    Raises:
        DataError: there are no rows, or no columns that can be read as question and answer.

    >>> rows = [{"id": 1, "problem": "1 + 1?", "answer": "Two is 2. #### 2", "year": 1999}]
    >>> guess = guess_shape(rows, "rows.jsonl")
    >>> guess.kind, guess.shape["gold"], guess.shape["rationale"], guess.unread
    ('number', "answer | after('####') | number", "answer | before('####')", ('year',))
    >>> rows = [{"question": "Which?", "choices": ["red", "blue"], "answer": 1}]
    >>> guess_shape(rows, "rows.jsonl").shape["gold"]
    "'ABCDEFGHIJ'[answer]"
    """
    if not rows:
        raise DataError(Fault(place, "no rows in it", "rows with a question and its answer"))
    names = _common_columns(rows)
    question_column = _first(names, QUESTIONS)
    if question_column is None:
        raise DataError(_missing(place, "question", QUESTIONS, rows))
    reasons: list[str] = []
    for options in _option_readings(rows, names, question_column):
        for gold, kind in _gold_readings(rows, names, question_column, options):
            guess = _guess(rows, names, question_column, options, gold, kind)
            wrong = _first_unreadable(guess, rows)
            if wrong is None:
                return guess
            reasons.append(f"{gold}: {wrong}")
    if reasons:
        raise DataError(Fault(place, f"no column can be read as the answer ({reasons[0]})"))
    raise DataError(_missing(place, "answer", GOLDS, rows))


def _guess(
    rows: Sequence[Row],
    names: Mapping[str, str],
    question_column: str,
    options: str | None,
    gold: str,
    kind: Kind,
) -> Guess:
    context = _first(names, CONTEXTS)
    shape: dict[str, Any] = {
        "question": question_column
        if context is None
        else f"{context} ~ '\\n\\n' ~ {question_column}",
        "gold": gold,
    }
    if options and options != _INLINE:
        shape["options"] = options
    needed = _named_in(shape.values(), names)
    rationale = _rationale(rows, names, gold)
    if rationale:
        shape["rationale"] = rationale
    meta = {key: column for key, known in META.items() if (column := _first(names, known))}
    meta = {key: column for key, column in meta.items() if column not in needed}
    if meta:
        shape["meta"] = meta
    read = _named_in([*shape.values(), *meta.values()], names)
    every = dict.fromkeys(column for row in rows for column in row)
    unread = tuple(column for column in every if column not in read)
    return Guess(kind, {"has": list(needed), **shape}, options == _INLINE, read, unread)


def _common_columns(rows: Sequence[Row]) -> dict[str, str]:
    """Return the columns that every row has, by lower case; expressions can name no others."""
    return {
        name.lower(): name
        for name in rows[0]
        if name.isidentifier() and all(row.get(name) is not None for row in rows)
    }


def _first(names: Mapping[str, str], known: Iterable[str]) -> str | None:
    return next((names[name] for name in known if name in names), None)


def _named_in(expressions: Iterable[Any], names: Mapping[str, str]) -> tuple[str, ...]:
    """Return the columns that expressions name, in the order of the rows."""
    text = " ".join(str(expression) for expression in expressions)
    words = set("".join(c if c.isidentifier() or c.isdigit() else " " for c in text).split())
    return tuple(name for name in names.values() if name in words)


def _option_readings(
    rows: Sequence[Row], names: Mapping[str, str], question_column: str
) -> Iterator[str | None]:
    """Yield the ways in which the choices can be read, then none."""
    column = _first(names, OPTIONS)
    if column is not None:
        values = [row[column] for row in rows]
        if all(isinstance(value, list) for value in values):
            yield f"{column} | choices"
        elif all(isinstance(v, dict) and {"text", "label"} <= set(v) for v in values):
            yield f"{column}.label | zipped({column}.text)"
        elif all(isinstance(value, dict) for value in values):
            yield column
        elif all(isinstance(value, str) and _has_choices(value) for value in values):
            yield f"{column} | inline_choices"
    letters = [name for name in _LETTERS if names.get(name.lower()) == name]
    if len(letters) >= 2 and letters == list(_LETTERS[: len(letters)]):
        yield "{" + ", ".join(f"'{name}': {name}" for name in letters) + "}"
    if all(
        _reads(stem_and_choices, row[question_column])
        for row in rows
        if isinstance(row[question_column], str)
    ):
        yield _INLINE
    yield None


def _gold_readings(
    rows: Sequence[Row], names: Mapping[str, str], question_column: str, options: str | None
) -> Iterator[tuple[str, Kind]]:
    """Yield the ways in which the reference answer can be read, the likeliest first."""
    for name in GOLDS:
        column = names.get(name)
        if column is None or column == question_column:
            continue
        values = [row[column] for row in rows]
        texts = [str(value) for value in values]
        if options:
            if all(isinstance(v, int) and not isinstance(v, bool) for v in values):
                yield f"'{_LETTERS}'[{column}]", "letter"
            elif all(_reads(letter, text) for text in texts):
                yield f"{column} | letter", "letter"
            elif options != _INLINE:
                equal = f"selectattr(1, 'equalto', {column})"
                yield f"({options}).items() | {equal} | map('first') | first", "letter"
            continue
        if all(isinstance(value, list) and len(value) == 1 for value in values):
            yield _plain_gold(f"{column}[0]", [str(value[0]) for value in values])
        else:
            yield _plain_gold(column, texts)


def _plain_gold(column: str, texts: Sequence[str]) -> tuple[str, Kind]:
    reading, answers = column, list(texts)
    if all("####" in text for text in texts):
        reading, answers = f"{column} | after('####')", [t.rpartition("####")[2] for t in texts]
    elif all("\\boxed" in text for text in texts):
        return f"{column} | boxed", "expression"
    elif all("the answer is" in text.lower() for text in texts):
        reading = f"{column} | stated"
        answers = [text.lower().rpartition("the answer is")[2].strip(" .:") for text in texts]
    if all(_reads(yes_no, answer) for answer in answers):
        return f"{reading} | yes_no", "boolean"
    if all(_reads(number, answer) for answer in answers):
        return f"{reading} | number", "number"
    kinds = {kind_of(answer.strip()) for answer in answers}
    if kinds == {"number", "expression"}:
        return reading, "expression"
    kind = next(iter(kinds)) if len(kinds) == 1 else "auto"
    return reading, "text" if kind == "letter" else kind


def _rationale(rows: Sequence[Row], names: Mapping[str, str], gold: str) -> str | None:
    if " | after('####')" in gold:
        return f"{gold.partition(' ')[0]} | before('####')"
    column = _first(names, RATIONALES)
    return column if column is not None and isinstance(rows[0][column], str) else None


def _has_choices(text: str) -> bool:
    return _reads(inline_choices, text)


def _reads(reading: Any, value: Any) -> bool:
    try:
        reading(value)
    except (ValueError, SyntaxError):
        return False
    return True


def _first_unreadable(guess: Guess, rows: Sequence[Row]) -> str | None:
    declared = guess.benchmark(rows[0])
    for number_, row in enumerate(rows, start=1):
        try:
            declared.question(row, "test")
        except (ValueError, LookupError) as error:
            return f"row {number_}: {' '.join(str(error).split())}"
    return None


def _missing(place: str, what: str, known: Sequence[str], rows: Sequence[Row]) -> Fault:
    columns = ", ".join(dict.fromkeys(column for row in rows for column in row))
    expected = f"a column such as {', '.join(known[:4])}"
    return Fault(place, f"no {what} column (columns: {columns})", expected, "rename a column")
