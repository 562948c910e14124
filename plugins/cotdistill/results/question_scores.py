"""What one run scored on each question, and under which settings: what comparisons stand on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cotdistill.errors import DataError, Fault
from cotdistill.hosts.lm_eval.samples import SampleFile, read_results, read_samples
from cotdistill.results.collect import primary_metric
from cotdistill.results.questions import QuestionId, identified, joined, text_of
from cotdistill.results.verdict_files import Source, made_scores


@dataclass(frozen=True)
class Fact:
    """One question of one run: its score in [0, 1] over so many answers."""

    value: float
    answers: int
    prompt_hash: str
    question: str


@dataclass(frozen=True)
class Settings:
    """What must be equal for two scores to compare, and what should be.

    Each maps a name to a value as text; names that a run does not log are absent.
    """

    must: Mapping[str, str]
    should: Mapping[str, str]


def question_facts(file: SampleFile, source: Source = "run") -> dict[str, Fact]:
    """Return what a samples file says of each question, by the question's identity.

    A question that stands twice under one filter keeps its first row.

    Raises:
        DataError: there is no score to read, or `source` was never made for this file.
    """
    made = made_scores(file, source) if source != "run" else None
    chosen = _chosen(file)
    found: dict[QuestionId, Fact] = {}
    for question, sample, repeated in identified(read_samples(file)):
        if repeated or question in found:
            continue
        if made is not None:
            value = made.get(sample.key)
        else:
            numbers = sample.numbers()
            chosen = chosen or primary_metric(numbers)
            value = numbers.get(",".join(chosen)) if chosen else None
        if value is not None:
            prompt = sample.hashes.get("prompt_hash", "")
            count = len(sample.responses)
            found[question] = Fact(float(value), count, prompt, text_of(sample))
    if not found:
        wrong = "no question has a score"
        remedy = "grade it: cotdistill rescore; then --verdicts rescored"
        raise DataError(Fault(str(file.path), wrong, "a metric in every row", remedy))
    return {name: found[question] for name, question in joined([found])[0].items()}


def settings_of(file: SampleFile) -> Settings:
    """Return the settings that a run logged in its results file."""
    if file.results is None:
        return Settings({}, {})
    held = read_results(file.results)
    config = held.get("config") or {}
    task = (held.get("configs") or {}).get(file.task) or {}
    decoding = {**(task.get("generation_kwargs") or {}), **_mapping(config.get("gen_kwargs"))}
    arguments = _mapping(config.get("model_args"))
    must = {
        "task version": (held.get("versions") or {}).get(file.task),
        "decoding": decoding or None,
        "few-shot examples": (held.get("n-shot") or {}).get(file.task),
        "repeats": task.get("repeats"),
    }
    should = {
        "engine": config.get("model"),
        "dtype": config.get("model_dtype") or arguments.get("dtype"),
        "tensor parallel size": arguments.get("tensor_parallel_size"),
        "batch size": config.get("batch_size"),
        "lm-eval": held.get("lm_eval_version"),
        "transformers": held.get("transformers_version"),
        "chat template": held.get("chat_template_sha"),
        "system prompt": held.get("system_instruction_sha"),
    }
    return Settings(_texts(must), _texts(should))


def _chosen(file: SampleFile) -> tuple[str, str] | None:
    if file.results is None:
        return None
    numbers = read_results(file.results)["results"].get(file.task)
    return primary_metric(numbers) if isinstance(numbers, dict) else None


def _mapping(held: Any) -> dict[str, Any]:
    """Read what lm-eval logs either as a mapping or as `key=value,key=value`."""
    if isinstance(held, dict):
        return held
    if isinstance(held, str) and "=" in held:
        return dict(part.split("=", 1) for part in held.split(",") if "=" in part)
    return {}


def _texts(held: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: ", ".join(f"{k}={value[k]}" for k in sorted(value))
        if isinstance(value, dict)
        else str(value)
        for name, value in held.items()
        if value is not None
    }
