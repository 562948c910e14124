"""The rows of the five seeds, and of common training files, each read as traces.

A row's shape is told by its keys. What its keys do not say (dataset, teacher, level ...) comes from
`Told`, which the importer fills from the file's name and the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cotdistill.benchmarks.question import question_key
from cotdistill.benchmarks.readings import letter, stem_and_choices
from cotdistill.corpus.records.trace import Provenance, Trace, trace_id
from cotdistill.corpus.records.trace_row import is_trace_row, trace_of
from cotdistill.grading.kinds import Kind

Row = Mapping[str, Any]


class MissingColumnError(ValueError):
    """The row lacks a column that its file is read by."""


@dataclass(frozen=True)
class Told:
    """What a file's name, its registration or the user says of all of its rows.

    `golds` maps questions (`question_key`, by their words) to gold answers, for files that hold
    none. `choices` says that questions carry their choices in the text.
    """

    dataset: str = "unknown"
    split: str = "train"
    prompt: str | None = None
    response: str | None = None
    kind: Kind = "auto"
    choices: bool = False
    provenance: Provenance = field(default_factory=Provenance)
    golds: Mapping[str, str] = field(default_factory=dict)
    answer_only: bool = False


@dataclass(frozen=True)
class RowShape:
    """One shape of rows: its name, the keys that tell it, and how it becomes traces.

    In a shape of `questions`, a row without a rationale is a question, and no faulty trace.
    """

    name: str
    keys: tuple[str, ...]
    read: Callable[[Row, Told], list[Trace]]
    questions: bool = False


def shape_of(row: Row, told: Told = Told()) -> RowShape | None:  # noqa: B008
    """Return the shape of a row, None if it is none that is known.

    >>> shape_of({"instruction": "1+1?", "output": "2"}).name
    'instruction/output'
    >>> shape_of({"input": "1+1?", "chain": "..", "answer": "2", "initial_correct": True}).name
    'mentor-kd chains'
    """
    if is_trace_row(row):
        return _TRACE
    if told.prompt and told.response:
        return _MAPPED
    return next((shape for shape in SHAPES if all(key in row for key in shape.keys)), None)


def _trace(
    told: Told, question: Any, gold: Any, rationale: Any, answer: Any = None, **meta: Any
) -> Trace:
    question, rationale = _text(question, "question"), _text(rationale, "rationale")
    if gold is None:
        gold = told.golds.get(question_key(question, "words"), "")
    kept = {name: value for name, value in meta.items() if value not in (None, "")}
    return Trace(
        trace_id(told.dataset, question, rationale),
        told.dataset,
        told.split,
        question,
        _gold(gold, told.kind),
        rationale,
        told.kind,
        _choices(question) if told.choices else None,
        answer=None if answer is None else _answer(answer),
        meta=kept,
        provenance=told.provenance,
    )


def _choices(question: str) -> dict[str, str] | None:
    try:
        return stem_and_choices(question)[1]
    except ValueError:
        return None


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise MissingColumnError(f"the {name} is {value!r}"[:80] + ", expected text")
    return value


def _gold(value: Any, kind: str) -> str:
    gold = _answer(value)
    try:
        return letter(gold) if kind == "letter" else gold  # CommonsenseQA has "B. enforce"
    except ValueError:
        return gold


def _answer(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_answer, value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _mapped(row: Row, told: Told) -> list[Trace]:
    """Read the columns that a registration names; MATH files keep gold and solution beside."""
    for column in (told.prompt, told.response):
        if column not in row:
            raise MissingColumnError(f"no column '{column}'; the row has {', '.join(row)}")
    gold = row.get("output") if "solution" in row else None
    meta = {"level": row.get("level"), "subject": row.get("type")} if "solution" in row else {}
    if told.response != "solution":
        meta["solution"] = row.get("solution")
    rationale = _text(row[told.response or ""], told.response or "")
    if told.answer_only and gold is None:
        gold = rationale
    return [_trace(told, row[told.prompt or ""], gold, rationale, **meta)]


def _instruction_output(row: Row, told: Told) -> list[Trace]:
    more = row.get("input") or ""
    question = f"{row['instruction']}\n{more}" if more else row["instruction"]
    gold = row["output"] if told.answer_only else None
    return [_trace(told, question, gold, row["output"])]


def _instruction_label(row: Row, told: Told) -> list[Trace]:
    said = row.get("output") or ""  # Mentor-KD's prompt files hold a list of chains
    said = said if isinstance(said, list) else [said]
    return [_trace(told, row["instruction"], row["label"], text) for text in said]


def _mentor_chain(row: Row, told: Told) -> list[Trace]:
    answer = row.get("completion") or (row["answer"] if row["initial_correct"] else None)
    right = row["initial_correct"]
    return [_trace(told, row["input"], row["answer"], row["chain"], answer, initial_correct=right)]


def _mentor_question(row: Row, told: Told) -> list[Trace]:
    return [_trace(told, row["input"], row["answer"], "")]


def _gsi_results(row: Row, told: Told) -> list[Trace]:
    said = zip(row["pred"], row.get("pred_value") or [None] * len(row["pred"]), strict=True)
    return [
        _trace(told, row["question"], row["answer_value"], text, value, item_id=row.get("item_id"))
        for text, value in said
    ]


def _gsi_gold(row: Row, told: Told) -> list[Trace]:
    return [
        _trace(
            told,
            row["question"],
            row["answer_value"],
            row["answer_cot"],
            item_id=row.get("item_id"),
        )
    ]


def _gsi_question(row: Row, told: Told) -> list[Trace]:
    return [_trace(told, row["question"], row["answer_value"], "", item_id=row.get("item_id"))]


def _micota(row: Row, told: Told) -> list[Trace]:
    return [
        _trace(
            told, row["instruction"], row["answer"], row["output"], row.get("resp_answer") or None
        )
    ]


def _problem_answer(row: Row, told: Told) -> list[Trace]:
    meta = {"level": row.get("level"), "subject": row.get("subject")}
    return [_trace(told, row["problem"], row["answer"], row.get("solution") or "", **meta)]


def _problem_solution(row: Row, told: Told) -> list[Trace]:
    return [_trace(told, row["problem"], None, row["solution"])]


def _question_final_answer(row: Row, told: Told) -> list[Trace]:
    said = row.get("solution") or ""
    said = "\n".join(said) if isinstance(said, list) else said
    return [_trace(told, row["question"], row["final_answer"], said)]


def _question_record(row: Row, told: Told) -> list[Trace]:
    told = replace(told, dataset=row.get("dataset") or told.dataset)
    trace = _trace(told, row["question"], row["gold"], row.get("rationale") or "")
    return [replace(trace, id=str(row.get("id") or trace.id))]


def _aqua(row: Row, told: Told) -> list[Trace]:
    question = f"{row['question']}\nAnswer Choices: {' '.join(row['options'])}"
    return [_trace(told, question, row["correct"], row.get("rationale") or "")]


def _gsm8k(row: Row, told: Told) -> list[Trace]:
    said, mark, gold = _text(row["answer"], "answer").rpartition("####")
    return [
        _trace(told, row["question"], gold.strip() if mark else gold, row["answer"] if said else "")
    ]


def _turns(row: Row, told: Told) -> list[Trace]:
    turns = row.get("messages") or row.get("conversations")
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise MissingColumnError("the turns are not a list of objects")
    said = [
        (str(turn.get("role", turn.get("from"))), turn.get("content", turn.get("value")))
        for turn in turns
    ]
    system = [text for role, text in said if role == "system"]
    asked = [text for role, text in said if role in ("user", "human")]
    replied = [text for role, text in said if role in ("assistant", "gpt")]
    if len(asked) != 1 or len(replied) != 1:
        raise MissingColumnError(f"{len(asked)} questions and {len(replied)} replies, not one each")
    return [_trace(told, asked[0], None, replied[0], system=system[0] if system else None)]


_TRACE = RowShape("trace", (), lambda row, _: [trace_of(row)])
_MAPPED = RowShape("mapped columns", (), _mapped)

# The first whose keys are all there is taken, so the more particular stand first.
SHAPES: tuple[RowShape, ...] = (
    RowShape("mentor-kd chains", ("input", "chain", "answer", "initial_correct"), _mentor_chain),
    RowShape("mentor-kd questions", ("input", "answer"), _mentor_question, questions=True),
    RowShape("gsi samples", ("question", "answer_value", "pred"), _gsi_results),
    RowShape("gsi gold chains", ("question", "answer_cot", "answer_value"), _gsi_gold),
    RowShape("gsi questions", ("question", "answer_value"), _gsi_question, questions=True),
    RowShape("micota", ("instruction", "output", "answer"), _micota),
    RowShape("instruction/label", ("instruction", "label"), _instruction_label, questions=True),
    RowShape("instruction/output", ("instruction", "output"), _instruction_output),
    RowShape("problem/answer", ("problem", "answer"), _problem_answer, questions=True),
    RowShape("problem/solution", ("problem", "solution"), _problem_solution),
    RowShape("question record", ("question", "gold"), _question_record, questions=True),
    RowShape("aqua", ("question", "options", "correct"), _aqua, questions=True),
    RowShape("olympiadbench", ("question", "final_answer"), _question_final_answer, questions=True),
    RowShape("gsm8k", ("question", "answer"), _gsm8k),
    RowShape("messages", ("messages",), _turns),
    RowShape("sharegpt", ("conversations",), _turns),
)
