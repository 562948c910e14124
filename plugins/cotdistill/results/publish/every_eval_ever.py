"""Scores in the schema of Every Eval Ever, version 0.2.1: one record for each run and task.

A record has the score with its interval, what decides it, and next to it a file with every
question. Times are those of the evaluation, so that the same folder gives the same bytes.

Source: github.com/evaleval/every_eval_ever, eval.schema.json and instance_level_eval.schema.json.
"""

from __future__ import annotations

import hashlib
import json
import math
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cotdistill.files.jsonl import row_line
from cotdistill.hosts.lm_eval.samples import read_samples
from cotdistill.results.publish.described import Folder, taken_at, task_config
from cotdistill.results.question_scores import logged_grades
from cotdistill.results.questions import identified
from cotdistill.results.run_results import RunResult, Score

VERSION = "0.2.1"
_NAMESPACE = uuid.UUID("6d1f3a40-6d0a-5b6e-9a4b-0c5a3a1f7f10")
_TOKENS = ("max_gen_toks", "max_new_tokens", "max_tokens")
_NOT_KNOWN = "unknown"


@dataclass(frozen=True)
class Record:
    """One record, the questions next to it, and the folder that both belong in."""

    folder: str
    name: str
    text: str
    questions: str


def records(folder: Folder) -> Iterator[Record]:
    """Yield the record of every score of every finished run, in the manifest's order."""
    for run, score in folder.results.rows():
        if run.finished:
            yield _record(folder, run, score)


def _record(folder: Folder, run: RunResult, score: Score) -> Record:
    model = folder.model_id(run)
    developer, _, short = model.rpartition("/")
    taken = taken_at(score)
    identity = f"{score.task}/{model}/{taken or _NOT_KNOWN}"
    name = str(uuid.uuid5(_NAMESPACE, f"{folder.study}/{run.run}/{identity}"))
    questions = "".join(map(row_line, _questions(score, model, identity)))
    record: dict[str, Any] = {
        "schema_version": VERSION,
        "evaluation_id": identity,
        "evaluation_timestamp": taken,
        "retrieved_timestamp": _epoch(taken),
        "source_metadata": {
            "source_name": f"cotdistill study {folder.study}",
            "source_type": "evaluation_run",
            "source_organization_name": folder.study,
            "evaluator_relationship": "first_party" if run.trained else "third_party",
        },
        "eval_library": {
            "name": "lm_eval",
            "version": run.evaluated.environment.get("lm eval version", _NOT_KNOWN),
            "additional_details": dict(run.evaluated.environment),
        },
        "model_info": {
            "name": short,
            "id": model,
            "developer": developer or folder.study,
            "inference_platform": "local",
            "inference_engine": _engine(run),
            "additional_details": folder.details(run),
        },
        "evaluation_results": [_result(score, taken)],
    }
    if questions:
        record["detailed_evaluation_results"] = {
            "format": "jsonl",
            "file_path": f"{name}.jsonl",
            "hash_algorithm": "sha256",
            "checksum": hashlib.sha256(questions.encode()).hexdigest(),
            "total_rows": questions.count("\n"),
        }
    text = json.dumps(_without_none(record), indent=2, allow_nan=False) + "\n"
    place = "/".join(_one_part(part) for part in (score.task, developer or folder.study, short))
    return Record(place, name, text, questions)


def _engine(run: RunResult) -> dict[str, str]:
    environment = run.evaluated.environment
    name = environment.get("engine", _NOT_KNOWN)
    return {"name": name, "version": environment.get(f"{name} version", _NOT_KNOWN)}


def _result(score: Score, taken: str | None) -> dict[str, Any]:
    details = {
        "questions": str(score.questions),
        "responses_a_question": str(score.repeats),
        "cut_off": _text(score.cut_off),
        "mean_tokens": _text(score.tokens),
        "grader_timeouts": _text(score.timeouts),
    }
    details |= {f"as_{name}": str(value) for name, value in score.readings.items()}
    uncertainty = None
    if math.isfinite(score.score.low) and math.isfinite(score.score.high):
        interval = {
            "lower": score.score.low,
            "upper": score.score.high,
            "confidence_level": 0.95,
            "method": "by question; docs/decisions/0005-intervals-and-tests.md",
        }
        uncertainty = {"confidence_interval": interval, "num_samples": score.questions}
    return {
        "evaluation_name": score.task,
        "evaluation_timestamp": taken,
        "source_data": _source_data(score),
        "metric_config": {
            "evaluation_description": score.metric,
            "lower_is_better": False,
            "score_type": "continuous",
            "min_score": 0.0,
            "max_score": 1.0,
        },
        "score_details": {
            "score": score.score.value,
            "details": {name: value for name, value in details.items() if value is not None},
            "uncertainty": uncertainty,
        },
        "generation_config": _generation(score),
    }


def _source_data(score: Score) -> dict[str, Any]:
    config = task_config(score)
    place = config.get("dataset_path")
    if isinstance(place, str) and place.count("/") == 1 and not place.startswith((".", "/")):
        return {
            "dataset_name": place,
            "source_type": "hf_dataset",
            "hf_repo": place,
            "hf_split": str(config.get("test_split") or _NOT_KNOWN),
            "samples_number": score.questions,
        }
    known = {name: str(value) for name, value in score.settings.must.items()}
    return {"dataset_name": score.task, "source_type": "other", "additional_details": known}


def _generation(score: Score) -> dict[str, Any]:
    config = task_config(score)
    decoding = config.get("generation_kwargs")
    given: Mapping[str, Any] = decoding if isinstance(decoding, dict) else {}
    arguments: dict[str, Any] = {}
    for name in ("temperature", "top_p", "top_k"):
        value = given.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            arguments[name] = value
    tokens = [given[name] for name in _TOKENS if isinstance(given.get(name), int)]
    if tokens and tokens[0] >= 1:
        arguments["max_tokens"] = tokens[0]
    template = config.get("doc_to_text")
    if isinstance(template, str):
        arguments["prompt_template"] = template
    return {"generation_args": arguments, "additional_details": dict(score.settings.all)}


def _questions(score: Score, model: str, identity: str) -> Iterator[dict[str, Any]]:
    table = score.table
    if table is None:
        return
    wanted = (one for one in read_samples(table.file) if one.filter == table.metric.filter)
    for question, sample, repeated, text in identified(wanted):
        value = table.values.get(question)
        if repeated or value is None:
            continue
        raw = text or sample.prompt
        grades = logged_grades(sample, table.metric, sample.responses)
        yield {
            "schema_version": f"instance_level_eval_{VERSION}",
            "evaluation_id": identity,
            "model_id": model,
            "evaluation_name": score.task,
            "sample_id": sample.key,
            "sample_hash": hashlib.sha256(
                (raw + sample.target).encode("utf-8", "surrogatepass")
            ).hexdigest(),
            "interaction_type": "single_turn",
            "input": {"raw": raw, "formatted": sample.prompt, "reference": [sample.target]},
            "output": {"raw": list(sample.responses)},
            "messages": None,
            "answer_attribution": [
                {
                    "turn_idx": 0,
                    "source": f"output.raw[{number}]",
                    "extracted_value": answer,
                    "extraction_method": rule or "cotdistill grader",
                    "is_terminal": True,
                }
                for number, (_, rule, answer, _) in enumerate(grades)
            ],
            "evaluation": {"score": value, "is_correct": value >= 1},
        }


def _epoch(taken: str | None) -> str:
    """Return a time in seconds since 1970 as text; the schema asks for it of the record itself.

    >>> _epoch("1970-01-02T00:00:01")
    '86401'
    """
    if taken is None:
        return _NOT_KNOWN
    return str(int(datetime.fromisoformat(f"{taken}+00:00").timestamp()))


def _text(value: float | None) -> str | None:
    return None if value is None else f"{value:g}"


def _one_part(name: str) -> str:
    """Return a name that is one part of a path."""
    return name.replace("/", "_").strip(".") or "_"


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_none(part) for name, part in value.items() if part is not None}
    return [_without_none(part) for part in value] if isinstance(value, list) else value
