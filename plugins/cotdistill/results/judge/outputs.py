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
from cotdistill.results.judge.judge import Item, Judged, single_samples
from cotdistill.results.judge.opinion import tail_of
from cotdistill.results.regrade import task_of

_CHECKS = {"correct": 1, "wrong": 0, "undecided": None}


def write_judged(judged: Judged, found: Agreement, golds: dict[str, str]) -> list[Path]:
    """Write all files of one judged samples file and return them.

    Raises:
        FaultsError: the folder cannot be written.
    """
    file = judged.file
    folder = file.path.parent / "judged"
    rows = list(_check_rows(judged, golds))
    summary = {
        "none_resp_answer_count": sum(row["resp_answer"] is None for row in rows),
        "exact_match_accuracy": _mean([row["exact_match"] for row in rows]),
        "llm_check_result_accuracy": _mean([row["llm_check_result"] or 0 for row in rows]),
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
    for sample in single_samples(judged.file):
        wanted = task_of(sample, golds)
        for _ in wanted.responses:
            item = next(items)
            result, reason = _check(item)
            yield {
                "index": index,
                "problem": sample.question,
                "answer": wanted.gold,
                "resp_answer": item.verdict.answer,
                "exact_match": int(item.verdict.correct),
                "llm_check_result": result,
                "llm_check_result_reason": reason,
            }
            index += 1


def _check(item: Item) -> tuple[int | None, str]:
    if item.opinion is not None:
        return _CHECKS[item.opinion.ruling], f"LLM check result: {item.opinion.reason}"
    if item.asked:
        return None, "not answered"
    return int(item.verdict.correct), "No need to check"


def _verdict_rows(judged: Judged) -> Iterator[Row]:
    held: dict[str, list[Item]] = {}
    for item in judged.items:
        held.setdefault(item.identity, []).append(item)
    for items in held.values():
        yield {
            "key": items[0].key,
            "score": sum(item.correct for item in items) / len(items),
            "verdicts": [
                {
                    "outcome": "correct" if item.correct else item.verdict.outcome,
                    "answer": item.verdict.answer,
                    "rule": item.verdict.rule,
                    "audit": item.audit,
                    "ruling": item.opinion.ruling if item.opinion else None,
                    "reason": item.opinion.reason if item.opinion else None,
                }
                for item in items
            ],
        }


def _disagreements(judged: Judged, golds: dict[str, str]) -> Iterator[Row]:
    items = iter(judged.items)
    for sample in single_samples(judged.file):
        wanted = task_of(sample, golds)
        for response in wanted.responses:
            item = next(items)
            if item.opinion is None or item.opinion.ruling == "undecided":
                continue
            if item.verdict.correct == (item.opinion.ruling == "correct"):
                continue
            yield {
                "key": item.key,
                "response": item.index,
                "grader": item.verdict.outcome,
                "rule": item.verdict.rule,
                "judge": item.opinion.ruling,
                "reason": item.opinion.reason,
                "gold": wanted.gold,
                "answer": item.verdict.answer,
                "question": sample.question,
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
