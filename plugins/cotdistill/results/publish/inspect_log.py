"""Responses as a log of Inspect (inspect_ai): one file for each run and task, for `inspect view`.

The file is Inspect's JSON form, version 2. Its scores are the grader's; nothing is run again.

Source: inspect_ai's EvalLog, https://inspect.aisi.org.uk/eval-logs.html.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cotdistill import __version__
from cotdistill.hosts.lm_eval.samples import read_samples
from cotdistill.results.publish.described import Folder, taken_at
from cotdistill.results.question_scores import QuestionScores, logged_grades
from cotdistill.results.questions import identified
from cotdistill.results.run_results import RunResult, Score

_SCORER = "cotdistill"
_NO_TIME = "1970-01-01T00:00:00"


@dataclass(frozen=True)
class Log:
    """One log file: its name below the folder of logs, and its text."""

    name: str
    text: str


def logs(folder: Folder) -> Iterator[Log]:
    """Yield the log of every score of every finished run that logged its samples."""
    for run, score in folder.results.rows():
        if run.finished and score.table is not None:
            text = json.dumps(_log(folder, run, score, score.table)) + "\n"
            yield Log(f"{run.run.replace('/', '_')}/{score.task}.json", text)


def _log(folder: Folder, run: RunResult, score: Score, table: QuestionScores) -> dict[str, Any]:
    taken = f"{taken_at(score) or _NO_TIME}+00:00"
    identity = hashlib.sha256(f"{folder.study}/{run.run}/{score.task}".encode()).hexdigest()[:22]
    samples = list(_samples(folder.model_id(run), table))
    interval = {"low": score.score.low, "high": score.score.high}
    known = {name: value for name, value in interval.items() if value == value}
    metrics = {"accuracy": score.score.value} | {f"ci95_{n}": v for n, v in known.items()}
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "run_id": identity,
            "created": taken,
            "task": score.task,
            "task_id": identity,
            "task_version": score.settings.must.get("task version", "0"),
            "task_attribs": {},
            "task_args": {},
            "dataset": {
                "name": score.task,
                "samples": len(table.values),
                "sample_ids": list(dict.fromkeys(sample["id"] for sample in samples)),
                "shuffled": False,
            },
            "model": folder.model_id(run),
            "model_args": {},
            "config": {"epochs": score.repeats},
            "packages": {"cotdistill": __version__},
            "metadata": folder.details(run),
        },
        "plan": {"name": "plan", "steps": [{"solver": "generate", "params": {}}], "config": {}},
        "results": {
            "total_samples": len(samples),
            "completed_samples": len(samples),
            "scores": [
                {
                    "name": _SCORER,
                    "scorer": _SCORER,
                    "params": {"metric": score.metric},
                    "metrics": {
                        name: {"name": name, "value": value, "params": {}}
                        for name, value in metrics.items()
                    },
                }
            ],
        },
        "stats": {"started_at": taken, "completed_at": taken, "model_usage": {}},
        "samples": samples,
    }


def _samples(model: str, table: QuestionScores) -> Iterator[dict[str, Any]]:
    wanted = (one for one in read_samples(table.file) if one.filter == table.metric.filter)
    for question, sample, repeated, _ in identified(wanted):
        if repeated or question not in table.values:
            continue
        grades = logged_grades(sample, table.metric, sample.responses)
        several = len(sample.responses) > 1
        for epoch, (response, grade) in enumerate(
            zip(sample.responses, grades, strict=False), start=1
        ):
            outcome, rule, answer, _ = grade
            right = outcome == "correct" if several else table.values[question]
            message = {"role": "assistant", "content": response, "source": "generate"}
            yield {
                "id": sample.key,
                "epoch": epoch,
                "input": sample.prompt,
                "target": sample.target,
                "messages": [{"role": "user", "content": sample.prompt}, message],
                "output": {
                    "model": model,
                    "choices": [{"message": message, "stop_reason": "unknown"}],
                    "completion": response,
                },
                "scores": {
                    _SCORER: {
                        "value": float(right),
                        "answer": answer,
                        "explanation": ": ".join(word for word in (outcome, rule) if word),
                    }
                },
                "metadata": {"question": str(question)},
            }
