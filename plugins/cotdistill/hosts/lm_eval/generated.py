"""Tell samples that hold generated text from those that hold likelihoods of given choices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from cotdistill.errors import DataError, Fault
from cotdistill.files.jsonl import read_rows
from cotdistill.hosts.lm_eval.samples import SampleFile, passed_over


def is_generated(row: dict[str, Any]) -> bool:
    """Return whether a row of a samples file holds text that a model wrote.

    A request to generate carries its settings, a mapping; a request for a likelihood carries the
    text of a choice, and there is one request a choice.

    >>> is_generated({"arguments": {"gen_args_0": {"arg_0": "Q", "arg_1": {"until": []}}}})
    True
    >>> is_generated({"arguments": {"gen_args_0": {"arg_0": "Q", "arg_1": " yes"}}})
    False
    """
    arguments = row.get("arguments")
    first = next(iter(arguments.values()), None) if isinstance(arguments, dict) else None
    if isinstance(arguments, list) and arguments:
        first = dict(enumerate(arguments[0])) if isinstance(arguments[0], list) else None
    if not isinstance(first, dict):
        return True
    return not isinstance(first.get("arg_1", first.get(1)), str)


def with_text(
    files: Sequence[SampleFile], tell: Callable[[str], None] | None = None
) -> list[SampleFile]:
    """Return the files that hold text.

    `tell` is told of every other one, and of older files of the same task that are not read.

    Raises:
        DataError: none holds text.
    """
    report = tell or (lambda _: None)
    kept = []
    for file in files:
        if all(is_generated(row) for row in islice(read_rows(file.path), 1)):
            kept.append(file)
        else:
            report(f"{file.path}: likelihoods of choices, no text to grade; left out")
        if file.older:
            report(passed_over(file.path, file.older, f"samples files of {file.task}"))
    if not kept:
        wrong = "holds likelihoods of choices, no text"
        raise DataError(Fault(str(files[0].path), wrong, "samples of a task that generates"))
    return kept
