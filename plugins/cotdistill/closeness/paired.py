"""The traces of several arms for the questions that all of them answer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cotdistill.benchmarks.choices import words_key
from cotdistill.corpus.records.import_traces import traces_in
from cotdistill.corpus.records.sources import find_sources
from cotdistill.corpus.records.trace import Trace, system_of, target
from cotdistill.errors import DataError, Fault

_SHOWN = 3


@dataclass(frozen=True)
class Answered:
    """One question as an arm trains on it: what is asked, and the response."""

    key: str
    system: str
    question: str
    response: str


@dataclass(frozen=True)
class Paired:
    """The arms' traces by arm, in one order of questions; and what was left out, with why."""

    arms: Mapping[str, tuple[Answered, ...]]
    shared: int
    left_out: Mapping[str, Mapping[str, int]]


def paired(files: Mapping[str, Path], most: int | None, seed: int) -> Paired:
    """Return the first trace of each question that all arms have; at most so many questions.

    Which questions are taken follows from their own words and the seed, not from the files' order.

    Raises:
        DataError: a file cannot be read or has bad rows, or the arms share no question.
    """
    found: dict[str, dict[str, Answered]] = {}
    left_out: dict[str, dict[str, int]] = {}
    faults: list[Fault] = []
    for name, path in files.items():
        try:
            found[name], repeated = _traces(path)
        except DataError as error:
            faults += error.faults
            continue
        left_out[name] = {"further rationales of a question": repeated}
    if faults:
        raise DataError(faults)
    keys = set.intersection(*(set(traces) for traces in found.values()))
    if not keys:
        sizes = ", ".join(f"{name} {len(traces):,}" for name, traces in found.items())
        raise DataError(
            Fault("arms", f"no question is in all of them ({sizes})", "shared questions")
        )
    ordered = sorted(keys, key=lambda key: hashlib.sha256(f"{seed}/{key}".encode()).digest())
    chosen = ordered[:most]
    for name, traces in found.items():
        left_out[name]["questions that not all arms have"] = len(traces) - len(keys)
        left_out[name]["questions beyond the sample"] = len(keys) - len(chosen)
    arms = {name: tuple(traces[key] for key in chosen) for name, traces in found.items()}
    return Paired(arms, len(keys), left_out)


def _traces(path: Path) -> tuple[dict[str, Answered], int]:
    found: dict[str, Answered] = {}
    repeated = 0
    refused: list[Fault] = []
    for source in find_sources([path]):
        for _, trace, _ in traces_in(source):
            if not isinstance(trace, Trace):
                refused.append(Fault(f"{path.parent / trace.place}", trace.why))
                continue
            response = target(trace)
            if not response.strip():
                refused.append(Fault(str(path), "a trace without a response"))
                continue
            key = words_key(trace.question, trace.options)
            repeated += key in found
            found.setdefault(key, Answered(key, system_of(trace), trace.question, response))
    if refused:
        more = len(refused) - _SHOWN
        shown = refused[:_SHOWN]
        if more > 0:
            shown.append(
                Fault(str(path), f"{more} more rows like these", "", "see cotdistill lint")
            )
        raise DataError(shown)
    return found, repeated
