"""What `judge` writes: three files with the source repositories' keys, verdicts, disagreements.

The three go to `judged/` next to the samples, where they leave an older judge's files alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cotdistill.errors import Fault
from cotdistill.files.atomic import write_text
from cotdistill.files.jsonl import Row, json_text, write_rows
from cotdistill.hosts.lm_eval.samples import SampleFile
from cotdistill.results.judge.agreement import Agreement
from cotdistill.results.judge.responses import JudgedFile, Response
from cotdistill.results.regrade import NO_GOLD, UNGRADED

_CHECKS = {"correct": 1, "wrong": 0, "undecided": None}
_PROBLEM_KEYS = (
    "index",
    "problem",
    "resp_answer",
    "answer",
    "exact_match",
    "llm_check_result",
    "llm_check_result_reason",
)


def output_fault(folder: Path) -> Fault | None:
    """Return why nothing can be written into a folder, or None; look before asking anyone."""
    for path in (folder / "judged", folder):
        if path.exists() and not (path.is_dir() and os.access(path, os.W_OK | os.X_OK)):
            wrong = "cannot be written: not a folder, or one that may not be changed"
            return Fault(str(path), wrong, "", "write to a folder of your own: -o DIR")
    return None


def judged_paths(file: SampleFile, place: Path) -> dict[str, Path]:
    """Return the files that are written for a samples file into a folder, by what they hold."""
    folder, task = place / "judged", file.task
    return {
        "summary": folder / f"summary_results_{task}.json",
        "problems": folder / f"problematic_instances_{task}.json",
        "checks": folder / f"llm_answer_check_result_{task}.json",
        "agreement": folder / f"agreement_{task}.json",
        "disagreements": folder / f"disagreements_{task}.jsonl",
        "verdicts": place / f"verdicts_{task}_{file.stamp or 'run'}.judged.jsonl",
    }


def write_judged(judged: JudgedFile, agreement: Agreement, place: Path) -> list[Path]:
    """Write all files of one judged samples file into a folder and return them.

    Raises:
        FaultsError: the folder cannot be written.
    """
    paths = judged_paths(judged.file, place)
    rows = list(_check_rows(judged))
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
    texts = {
        paths["summary"]: summary,
        paths["problems"]: problems,
        paths["checks"]: rows,
        paths["agreement"]: _agreement(agreement),
    }
    for path, value in texts.items():
        write_text(path, json_text(value, indent=4) + "\n")
    lines = {
        paths["disagreements"]: _disagreements(judged),
        paths["verdicts"]: _verdict_rows(judged),
    }
    for path, made in lines.items():
        write_rows(path, made)
    return [*texts, *lines]


def _check_rows(judged: JudgedFile) -> Iterator[dict[str, Any]]:
    for index, response in enumerate(judged.responses):
        result, reason = _check(response)
        grade = response.grade
        yield {
            "index": index,
            "problem": response.question.text,
            "answer": response.question.gold,
            "resp_answer": grade.answer if grade else None,
            "exact_match": int(grade is not None and grade.correct),
            "llm_check_result": result,
            "llm_check_result_reason": reason,
        }


def _check(response: Response) -> tuple[int | None, str]:
    if response.opinion is not None:
        return _CHECKS[response.opinion.ruling], f"LLM check result: {response.opinion.reason}"
    if response.grade is None:
        return None, "no reference answer"
    if response.asked:
        return None, "not answered"
    return int(response.grade.correct), "No need to check"


def _verdict_rows(judged: JudgedFile) -> Iterator[Row]:
    for question, responses in judged.by_question().items():
        graded = responses[0].grade is not None
        correct = sum(response.correct for response in responses)
        yield {
            "question": str(question),
            "key": responses[0].question.key,
            "score": correct / len(responses) if graded else None,
            "verdicts": [_verdict(response) for response in responses],
        }


def _verdict(response: Response) -> dict[str, Any]:
    grade, opinion = response.grade, response.opinion
    if grade is None:
        return {"outcome": UNGRADED, "answer": None, "rule": NO_GOLD}
    return {
        "outcome": "correct" if response.correct else grade.outcome,
        "answer": grade.answer,
        "rule": grade.rule,
        "audit": response.audited,
        "ruling": opinion.ruling if opinion else None,
        "reason": opinion.reason if opinion else None,
    }


def _disagreements(judged: JudgedFile) -> Iterator[Row]:
    for response in judged.responses:
        grade, opinion = response.grade, response.opinion
        if grade is None or opinion is None or opinion.ruling == "undecided":
            continue
        if grade.correct == (opinion.ruling == "correct"):
            continue
        yield {
            "key": response.question.key,
            "response": response.index,
            "grader": grade.outcome,
            "rule": grade.rule,
            "judge": opinion.ruling,
            "reason": opinion.reason,
            "gold": response.question.gold,
            "answer": grade.answer,
            "question": response.question.text,
            "tail": response.tail,
        }


def _agreement(found: Agreement) -> dict[str, Any]:
    return {
        "responses": found.responses,
        "grader": found.grader.value,
        "judged": found.judged.value,
        "judged_low": found.judged.low,
        "judged_high": found.judged.high,
        "corrected": found.corrected,
        "kappa": found.kappa,
        "unanswered": found.unanswered,
        "confusion": {
            f"grader {'right' if correct else 'not right'}, judge {ruling}": count
            for (correct, ruling), count in sorted(found.confusion.items())
        },
    }


def _mean(values: list[int]) -> float:
    return sum(values) / len(values) if values else 0.0
