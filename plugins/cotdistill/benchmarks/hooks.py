"""What `task_configs/hooks.py` hands to lm-eval: documents in, verdicts on responses out.

lm-eval calls these by name from a task's YAML file:

    custom_dataset: !function hooks.load_questions      # the documents, one a question
    filter_list: [... filter_fn: !function hooks.keep_all]   # every repeat reaches the grader
    process_results: !function hooks.grade_responses    # metrics of one document
    metric_list: !function hooks.METRICS                # how each is summed up

Nothing of lm-eval is imported here, so the same functions grade a sample file again later.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cotdistill.benchmarks.convert import questions_of
from cotdistill.benchmarks.instruction import instruction_words
from cotdistill.benchmarks.packaged import benchmark as declared_benchmark
from cotdistill.benchmarks.question import options_of
from cotdistill.benchmarks.store import (
    NotPreparedError,
    not_prepared,
    prepared_splits,
    read_split,
    split_file,
)
from cotdistill.errors import DataError, Fault
from cotdistill.files.jsonl import read_rows
from cotdistill.grading.equivalence.equivalent import equivalent
from cotdistill.grading.grade import Grade, grade
from cotdistill.grading.repetition import loops
from cotdistill.hosts.hub import UnreachableError, split_rows
from cotdistill.hosts.tokenizer import load_tokenizer
from cotdistill.stats import pass_at_k

Document = dict[str, Any]
Metrics = dict[str, Any]

_FINAL_ANSWER = re.compile(r"Final Answer:\s?\\boxed\{([^{}\n]{1,40})\}")
_SHOTS = 64  # worked examples that a split gives at most; nobody's context holds more


def load_questions(
    benchmark: str = "",
    splits: Sequence[str] = ("test",),
    subject: str | None = None,
    instruction: str | None = None,
    questions_file: str | None = None,
    **_of_the_host: Any,
) -> dict[str, Any]:
    """Return the documents of a task as lm-eval wants them: split name → Dataset.

    They come from where `cotdistill prepare` put them, else from the hub; a split that only gives
    worked examples is read no further than lm-eval could ask for. An `instruction` (of
    `--metadata`) replaces the task's own words; a `questions_file` of documents replaces the
    benchmark. The host passes all of its model arguments too,
    which do not matter here.

    Raises:
        NotPreparedError: neither has the questions; one line says which command brings them.
        DataError: what is there is not the benchmark, or has no question of that subject.
    """
    from datasets import Dataset

    words = instruction_words(instruction)
    if questions_file is not None:
        rows = [{**row, **words} for row in read_rows(Path(questions_file))]
        return {"test": Dataset.from_list(rows)}
    return {
        split: Dataset.from_list(
            [
                {**document, **words}
                for document in documents(
                    benchmark, split, subject, None if split == "test" else _SHOTS
                )
            ]
        )
        for split in splits
    }


def documents(
    benchmark: str, split: str, subject: str | None = None, at_most: int | None = None
) -> list[Document]:
    """Return the questions of one split as documents; test ones leave out their rationale."""
    rows = _rows(benchmark, split)
    chosen = (row for row in rows if subject is None or row["meta"].get("subject") == subject)
    found = list(itertools.islice(chosen, at_most))
    if not found:
        wrong = f"no {split} question" + (f" of subject {subject}" if subject else "")
        remedy = f"type: cotdistill prepare {benchmark}"
        raise DataError(Fault(str(split_file(benchmark, split)), wrong, "at least one", remedy))
    if split == "test":
        found = [{**row, "rationale": None} for row in found]
    return found


def _rows(benchmark: str, split: str) -> Iterable[Document]:
    if split in prepared_splits(benchmark):
        return read_split(benchmark, split)
    declared = declared_benchmark(benchmark)
    if declared.hub is None or split not in declared.hub.splits:
        raise NotPreparedError(not_prepared(benchmark, split))
    try:
        hub = declared.hub
        rows = split_rows(hub.id, hub.configs, hub.splits[split], hub.revision)
        return questions_of(declared, split, rows, hub.id).rows
    except UnreachableError as error:
        raise NotPreparedError(not_prepared(benchmark, split, f"hub: {error}")) from None


def keep_all(responses: Sequence[Sequence[str]], documents: Sequence[Document]) -> Any:  # noqa: ARG001
    """Pass every repeat on; lm-eval's default filter would keep the first one only."""
    return responses


def grade_responses(document: Document, results: Sequence[Any]) -> Metrics:
    """Return every metric of one document: what its samples got right, and how they failed.

    Shapes: results holds one response, or one list of all repeats where `keep_all` is the filter.
    A response of None (a server's empty message) is graded as the empty text.

    `exact_match` counts every right answer, `exact_match_strict` those that a response states (not
    those only found in its last sentence). What is not graded as right has its share by outcome:
    `no_answer`, `cut_off`, `undecided`, and `timeout`, the share of comparisons that needed more
    CPU time than a pair may take; a score should be shown with it.
    """
    responses = responses_of(results)
    return metrics_of(document, responses, [_grade(document, text) for text in responses])


def metrics_of(document: Document, responses: Sequence[str], grades: Sequence[Grade]) -> Metrics:
    """Return every metric of one document from its responses and their grades.

    Shapes: responses [samples]; grades [samples].
    """
    correct = [verdict.correct for verdict in grades]
    metrics: Metrics = {
        "exact_match": pass_at_k.share_correct(correct),
        "exact_match_strict": pass_at_k.share_correct([each.stated_correct for each in grades]),
        "answered": [_logged(verdict) for verdict in grades],
        "no_answer": _share(grades, "no_answer"),
        "cut_off": _share(grades, "cut_off"),
        "undecided": _share(grades, "undecided"),
        "timeout": _share(grades, "timeout"),
        "repetition_loop": sum(map(loops, responses)) / len(responses),
        **_lengths(responses),
        **_strata(document, pass_at_k.share_correct(correct)),
    }
    if len(responses) > 1:
        metrics |= _over_samples(document, responses, grades)
    return metrics


def grade_final_answers(document: Document, results: Sequence[Any]) -> Metrics:
    r"""Return `grade_responses`, and `strict_match`: right inside "Final Answer: \boxed{...}".

    The learnability gap scores GSM8K so; a response in any other format counts as wrong.
    """
    found = [_FINAL_ANSWER.findall(response) for response in responses_of(results)]
    strict = [bool(answers) and _grade(document, answers[-1]).correct for answers in found]
    return {**grade_responses(document, results), "strict_match": pass_at_k.share_correct(strict)}


def responses_of(results: Sequence[Any]) -> list[str]:
    """Return the texts of what lm-eval hands to a task: one response, or a list of all repeats."""
    first = results[0]
    return [r or "" for r in (first if isinstance(first, list | tuple) else [first])]


def _grade(document: Document, response: str) -> Grade:
    meta = document.get("meta") or {}
    return grade(
        response,
        document["gold"],
        kind=document["kind"],
        options=options_of(document.get("options")),
        tolerance=meta.get("tolerance"),
    )


def _logged(verdict: Grade) -> dict[str, Any]:
    return {
        "outcome": verdict.outcome,
        "answer": verdict.answer,
        "rule": verdict.rule,
        "span": list(verdict.span) if verdict.span else None,
    }


def _share(grades: Sequence[Grade], outcome: str) -> float:
    return sum(verdict.outcome == outcome for verdict in grades) / len(grades)


def _lengths(responses: Sequence[str]) -> Metrics:
    count = len(responses)
    lengths: Metrics = {
        "characters": sum(map(len, responses)) / count,
        "words": sum(len(response.split()) for response in responses) / count,
    }
    if name := os.environ.get("COTDISTILL_TOKENIZER"):
        encode = _tokenizer(name)
        lengths["tokens"] = sum(len(encode(response)) for response in responses) / count
    return lengths


@functools.cache
def _tokenizer(name: str) -> Any:
    return functools.partial(load_tokenizer(name).encode, add_special_tokens=False)


def _strata(document: Document, score: float) -> Metrics:
    """Scores by level, subject and answer type: a key that a document lacks does not count it."""
    meta = document.get("meta") or {}
    return {
        f"exact_match_{axis}_{_word(meta[axis])}": score
        for axis in ("level", "subject", "answer_type")
        if meta.get(axis) is not None and _word(meta[axis])
    }


def _word(value: Any) -> str:
    """A value as a part of a metric's name: "Counting & Probability" → counting_probability."""
    return "_".join(re.findall(r"[a-z0-9]+", str(value).lower()))


def _over_samples(document: Document, responses: Sequence[str], grades: Sequence[Grade]) -> Metrics:
    """avg@k, pass@k, maj@k for the powers of two up to all samples, and whether they all agree."""
    options = options_of(document.get("options"))
    same = functools.cache(
        lambda a, b: equivalent(a, b, kind=document["kind"], options=options).equal is True
    )
    correct = [verdict.correct for verdict in grades]
    classes = pass_at_k.classes_of([verdict.answer for verdict in grades], same)
    metrics: Metrics = {f"avg@{len(correct)}": pass_at_k.share_correct(correct)}
    for k in pass_at_k.steps_up_to(len(correct)):
        metrics[f"pass@{k}"] = pass_at_k.pass_at(correct, k)
        metrics[f"maj@{k}"] = float(pass_at_k.majority_correct(classes, correct, k))
    metrics["identical"] = float(len(set(responses)) == 1)
    return metrics


def share_answered(documents: Sequence[list[dict[str, Any]]]) -> float:
    """Aggregate `answered`: the share of all responses in which an answer was found."""
    found = [verdict["answer"] is not None for verdicts in documents for verdict in verdicts]
    return sum(found) / len(found) if found else 0.0


def _metrics() -> tuple[dict[str, Any], ...]:
    """Every metric that `grade_responses` can return: one that no document has is not reported."""
    samples = [1 << power for power in range(8)]
    strata = {
        "level": range(1, 6),
        "subject": [
            "algebra", "combinatorics", "counting_probability", "geometry", "intermediate_algebra",
            "number_theory", "prealgebra", "precalculus",
        ],
        "answer_type": [
            "numerical", "expression", "tuple", "interval", "equation", "bool", "integer", "float",
            "list", "list_of_integer", "list_of_float", "option",
        ],
    }  # fmt: skip
    better: dict[str, bool | None] = dict.fromkeys(
        ("exact_match", "exact_match_strict", "strict_match"), True
    )
    better |= {f"{name}@{k}": True for name in ("avg", "pass", "maj") for k in samples}
    better |= {f"exact_match_{axis}_{value}": True for axis in strata for value in strata[axis]}
    better |= dict.fromkeys(
        ("no_answer", "cut_off", "undecided", "timeout", "repetition_loop", "identical"), False
    )
    better |= dict.fromkeys(("characters", "words", "tokens"))
    answered = {"metric": "answered", "aggregation": share_answered, "higher_is_better": True}
    return answered, *(
        {"metric": name, "aggregation": "mean", "higher_is_better": higher}
        for name, higher in better.items()
    )


METRICS = _metrics()
