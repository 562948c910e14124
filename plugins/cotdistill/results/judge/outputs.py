"""What `judge` writes: the seeds' three files with their keys, verdicts, and every disagreement.

The three go to `judged/` beside the samples, so that an older judge's files of the same names stay.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cotdistill.files.atomic import write_text
from cotdistill.files.jsonl import Row, write_rows
from cotdistill.results.judge.agreement import Agreement
from cotdistill.results.judge.judge import Item, Judged
from cotdistill.results.judge.opinion import tail_of
from cotdistill.results.questions import QuestionId, single_samples, text_of
from cotdistill.results.regrade import NO_GOLD, UNGRADED, task_of

_CHECKS = {"correct": 1, "wrong": 0, "undecided": None}


def write_judged(judged: Judged, found: Agreement, golds: dict[str, str]) -> list[Path]:
    """Write all files of one judged samples file and return them.

    Raises:
        FaultsError: the folder cannot be written.
    """
    file = judged.file
    folder = file.path.parent / "judged"
    rows = list(_check_rows(judged, golds))
    graded = [row for row in rows if row["answer"] is not None]
    summary = {
        "none_resp_answer_count": sum(row["resp_answer"] is None for row in rows),
        "exact_match_accuracy": _mean([row["exact_match"] for row in graded]),
        "llm_check_result_accuracy": _mean([row["llm_check_result"] or 0 for row in graded]),
        "none_llm_check_result_count": sum(row["llm_check_result"] is None for row in rows),
    }
    problems = [
        {key: row[key] for key in _PROBLEM_KEYS}
        for row in rows
        if row["exact_match"] == 0 and row["resp_answer"] is not None
    ]
    written = [
        _json(folder / f"summary_results_{file.task}.json", summary),
        _json(folder / f"problematic_instances_{file.task}.json", problems),
        _json(folder / f"llm_answer_check_result_{file.task}.json", rows),
        _json(folder / f"agreement_{file.task}.json", _agreement(found)),
        folder / f"disagreements_{file.task}.jsonl",
        file.path.with_name(f"verdicts_{file.task}_{file.stamp or 'run'}.judged.jsonl"),
    ]
    write_rows(written[4], _disagreements(judged, golds))
    write_rows(written[5], _verdict_rows(judged))
    return written


_PROBLEM_KEYS = (
    "index",
    "problem",
    "resp_answer",
    "answer",
    "exact_match",
    "llm_check_result",
    "llm_check_result_reason",
)


def _check_rows(judged: Judged, golds: dict[str, str]) -> Iterator[dict[str, Any]]:
    items = iter(judged.items)
    index = 0
    for _, sample in single_samples(judged.file):
        wanted = task_of(sample, golds)
        for _ in wanted.responses:
            item = next(items)
            result, reason = _check(item)
            yield {
                "index": index,
                "problem": text_of(sample),
                "answer": wanted.gold,
                "resp_answer": item.grade.answer if item.grade else None,
                "exact_match": int(item.grade is not None and item.grade.correct),
                "llm_check_result": result,
                "llm_check_result_reason": reason,
            }
            index += 1


def _check(item: Item) -> tuple[int | None, str]:
    if item.opinion is not None:
        return _CHECKS[item.opinion.ruling], f"LLM check result: {item.opinion.reason}"
    if item.grade is None:
        return None, "no reference answer"
    if item.asked:
        return None, "not answered"
    return int(item.grade.correct), "No need to check"


def _verdict_rows(judged: Judged) -> Iterator[Row]:
    by_question: dict[QuestionId, list[Item]] = {}
    for item in judged.items:
        by_question.setdefault(item.question, []).append(item)
    for question, items in by_question.items():
        graded = items[0].grade is not None
        yield {
            "question": str(question),
            "key": items[0].key,
            "score": sum(item.correct for item in items) / len(items) if graded else None,
            "verdicts": [_verdict(item) for item in items],
        }


def _verdict(item: Item) -> dict[str, Any]:
    grade = item.grade
    if grade is None:
        return {"outcome": UNGRADED, "answer": None, "rule": NO_GOLD}
    return {
        "outcome": "correct" if item.correct else grade.outcome,
        "answer": grade.answer,
        "rule": grade.rule,
        "audit": item.audit,
        "ruling": item.opinion.ruling if item.opinion else None,
        "reason": item.opinion.reason if item.opinion else None,
    }


def _disagreements(judged: Judged, golds: dict[str, str]) -> Iterator[Row]:
    items = iter(judged.items)
    for _, sample in single_samples(judged.file):
        wanted = task_of(sample, golds)
        for response in wanted.responses:
            item = next(items)
            if item.grade is None or item.opinion is None or item.opinion.ruling == "undecided":
                continue
            if item.grade.correct == (item.opinion.ruling == "correct"):
                continue
            yield {
                "key": item.key,
                "response": item.index,
                "grader": item.grade.outcome,
                "rule": item.grade.rule,
                "judge": item.opinion.ruling,
                "reason": item.opinion.reason,
                "gold": wanted.gold,
                "answer": item.grade.answer,
                "question": text_of(sample),
                "tail": tail_of(response),
            }


def _agreement(found: Agreement) -> dict[str, Any]:
    return {
        "responses": found.responses,
        "grader": found.rule.value,
        "judged": found.judged.value,
        "judged_low": found.judged.low,
        "judged_high": found.judged.high,
        "corrected": found.corrected,
        "kappa": found.kappa,
        "unanswered": found.unanswered,
        "confusion": {
            f"grader {'right' if right else 'not right'}, judge {ruling}": count
            for (right, ruling), count in sorted(found.confusion.items())
        },
    }


def _json(path: Path, value: Any) -> Path:
    write_text(path, json.dumps(value, ensure_ascii=False, indent=4) + "\n")
    return path


def _mean(values: list[int]) -> float:
    return sum(values) / len(values) if values else 0.0
