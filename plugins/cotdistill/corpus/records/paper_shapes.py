"""The rows of the five papers' repositories, and of the benchmarks that they use."""

from __future__ import annotations

import re
from dataclasses import replace

from cotdistill.corpus.records.shape import Row, RowShape, SourceInfo, make_trace, text_of
from cotdistill.corpus.records.trace import Trace, states_an_answer

_LONGEST_ANSWER = 80  # characters; a longer text in an answer column is a rationale


_GSI_OUTPUTS = ("results", "results_before_resample", "resample_results")
_GSI_ITEM = re.compile(r"(.+)_\d+")


def _mentor_chain(row: Row, info: SourceInfo) -> list[Trace]:
    right = row["initial_correct"]
    answer = row.get("completion") or (row["answer"] if right else None)
    return [
        make_trace(info, row["input"], row["answer"], row["chain"], answer, initial_correct=right)
    ]


def _mentor_question(row: Row, info: SourceInfo) -> list[Trace]:
    return [make_trace(info, row["input"], row["answer"], "")]


def _instruction_label(row: Row, info: SourceInfo) -> list[Trace]:
    outputs = row.get("output") or ""  # Mentor-KD's prompt files hold a list of chains
    outputs = outputs if isinstance(outputs, list) else [outputs]
    return [make_trace(info, row["instruction"], row["label"], text) for text in outputs]


def _of_gsi_row(row: Row, info: SourceInfo) -> SourceInfo:
    """Return the source of one row of GSI's sampling: its scripts append several datasets.

    The rows of `results.json` say which they are of: `gsm8k_12` is a row of gsm8k.
    """
    named = _GSI_ITEM.fullmatch(str(row.get("item_id")))
    return replace(info, dataset=named[1]) if named and info.dataset in _GSI_OUTPUTS else info


def _gsi_results(row: Row, info: SourceInfo) -> list[Trace]:
    info = _of_gsi_row(row, info)
    values = row.get("pred_value") or [None] * len(row["pred"])
    item = row.get("item_id")
    return [
        make_trace(info, row["question"], row["answer_value"], text, value, item_id=item)
        for text, value in zip(row["pred"], values, strict=True)
    ]


def _gsi_gold(row: Row, info: SourceInfo) -> list[Trace]:
    info = _of_gsi_row(row, info)
    item = row.get("item_id")
    return [make_trace(info, row["question"], row["answer_value"], row["answer_cot"], item_id=item)]


def _gsi_question(row: Row, info: SourceInfo) -> list[Trace]:
    return [make_trace(info, row["question"], row["answer_value"], "", item_id=row.get("item_id"))]


def _micota(row: Row, info: SourceInfo) -> list[Trace]:
    answer = row.get("resp_answer") or None
    return [make_trace(info, _with_input(row), row["answer"], row["output"], answer)]


def _with_input(row: Row) -> str:
    question = text_of(row["instruction"], "instruction")
    return f"{question}\n{row['input']}" if row.get("input") else question


def _problem_answer(row: Row, info: SourceInfo) -> list[Trace]:
    meta = {"level": row.get("level"), "subject": row.get("subject")}
    return [make_trace(info, row["problem"], row["answer"], row.get("solution") or "", **meta)]


def _problem_solution(row: Row, info: SourceInfo) -> list[Trace]:
    return [make_trace(info, row["problem"], None, row["solution"])]


def _question_final_answer(row: Row, info: SourceInfo) -> list[Trace]:
    solution = row.get("solution") or ""
    solution = "\n".join(solution) if isinstance(solution, list) else solution
    return [make_trace(info, row["question"], row["final_answer"], solution)]


def _question_record(row: Row, info: SourceInfo) -> list[Trace]:
    info = replace(info, dataset=row.get("dataset") or info.dataset)
    trace = make_trace(info, row["question"], row["gold"], row.get("rationale") or "")
    return [replace(trace, id=str(row.get("id") or trace.id))]


def _aqua(row: Row, info: SourceInfo) -> list[Trace]:
    question = f"{row['question']}\nAnswer Choices: {' '.join(row['options'])}"
    return [make_trace(info, question, row["correct"], row.get("rationale") or "")]


def _question_answer(row: Row, info: SourceInfo) -> list[Trace]:
    """Read GSM8K's `#### 7`, a bare answer, or a rationale that stands in the answer column."""
    answer = row["answer"]
    if not isinstance(answer, str):
        return [make_trace(info, row["question"], answer, "")]
    rationale, mark, gold = answer.rpartition("####")
    if mark:
        return [make_trace(info, row["question"], gold.strip(), answer if rationale else "")]
    if len(answer) > _LONGEST_ANSWER or "\n" in answer.strip() or states_an_answer(answer):
        return [make_trace(info, row["question"], None, answer)]
    return [make_trace(info, row["question"], answer, "")]


# fmt: off
PAPER_SHAPES: tuple[RowShape, ...] = (
    RowShape("mentor-kd chains", ("input", "chain", "answer", "initial_correct"), _mentor_chain,
             response="chain", also=("completion",)),
    RowShape("gsi samples", ("question", "answer_value", "pred"), _gsi_results,
             response="pred", also=("pred_value", "item_id")),
    RowShape("gsi gold chains", ("question", "answer_cot", "answer_value"), _gsi_gold,
             response="answer_cot", also=("item_id",)),
    RowShape("gsi questions", ("question", "answer_value"), _gsi_question,
             also=("item_id",), questions=True),
    RowShape("micota", ("instruction", "output", "answer"), _micota,
             response="output", also=("resp_answer", "input")),
    RowShape("instruction/label", ("instruction", "label"), _instruction_label,
             response="output", questions=True),
    RowShape("problem/answer", ("problem", "answer"), _problem_answer,
             response="solution", also=("level", "subject"), questions=True, answer="answer"),
    RowShape("problem/solution", ("problem", "solution"), _problem_solution, response="solution"),
    RowShape("question record", ("question", "gold"), _question_record,
             response="rationale", also=("id", "dataset", "split", "kind", "options", "meta"),
             questions=True),
    RowShape("aqua", ("question", "options", "correct"), _aqua,
             response="rationale", questions=True),
    RowShape("olympiadbench", ("question", "final_answer"), _question_final_answer,
             response="solution", questions=True),
    RowShape("gsm8k", ("question", "answer"), _question_answer, questions=True, answer="answer"),
    RowShape("mentor-kd questions", ("input", "answer"), _mentor_question,
             questions=True, answer="answer"),
)
# fmt: on
"""The first whose keys are all there is taken, so the more particular come first."""
