"""The files of verdicts that `rescore` and `judge` leave next to samples, joined by question."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cotdistill.errors import DataError, Fault
from cotdistill.files.jsonl import Row, read_rows
from cotdistill.hosts.lm_eval.samples import Sample, SampleFile, as_number
from cotdistill.results.questions import QuestionId
from cotdistill.tables import counted

VerdictSource = Literal["run", "rescored", "judged"]
"""Whose verdicts scores are made of: those that a run logged, or what `rescore` or `judge` made."""

Span = tuple[int, int]
GradedResponses = tuple[tuple[str, str, str, Span | None], ...]
"""Outcome, rule and answer of each response to a question, and where in it the answer stands."""

_VERBS = {"rescored": "rescore", "judged": "judge"}


class Verdict(NamedTuple):
    """The verdict on the responses to one question; without a score it was not graded."""

    score: float | None
    responses: GradedResponses


@dataclass(frozen=True)
class Verdicts:
    """The verdicts on one samples file, by question.

    Files of release 0.1 name no question; theirs are found by the document's id and hash.
    """

    path: Path
    source: VerdictSource
    by_name: Mapping[str, Verdict]

    def of(self, question: QuestionId, sample: Sample) -> Verdict | None:
        """Return the verdict on a question, or None where the file has none."""
        verdict = self.by_name.get(str(question))
        if verdict is None:
            hashed = sample.doc_hash or ""
            verdict = self.by_name.get(_old_name(sample.key, hashed))
            verdict = verdict or self.by_name.get(_old_name(sample.key, ""))
        return verdict

    def missing(self, count: int, samples: Path) -> DataError:
        """Return the error that a file of verdicts lacks questions of its samples."""
        wrong = f"no verdict on {counted(count, 'question')} of {samples.name}"
        verb = _VERBS.get(self.source, "")
        return DataError(Fault(str(self.path), wrong, "", f"make it again: cotdistill {verb}"))


def verdict_file(file: SampleFile, source: VerdictSource) -> Path | None:
    """Return the newest file of verdicts that `rescore` or `judge` made from a samples file."""
    named = re.compile(
        re.escape(f"verdicts_{file.task}_{file.stamp or 'run'}.{source}") + r"(?:-(\d+))?\.jsonl"
    )
    found = [
        (int(match[1] or 1), path)
        for path in file.path.parent.glob("verdicts_*.jsonl")
        if (match := named.fullmatch(path.name))
    ]
    return max(found)[1] if found else None


def read_verdicts(file: SampleFile, source: VerdictSource) -> Verdicts | None:
    """Return the verdicts that `rescore` or `judge` made of a samples file; None of the run's own.

    Raises:
        DataError: they were never made for this file, or cannot be joined with it.
    """
    if source == "run":
        return None
    path = verdict_file(file, source)
    remedy = f"make them: cotdistill {_VERBS[source]}"
    if path is None:
        raise DataError(Fault(str(file.path), f"no {source} verdicts next to it", "", remedy))
    verdicts: dict[str, Verdict] = {}
    for number, row in enumerate(read_rows(path), start=1):
        place = f"{path}:{number}"
        name = row.get("question")
        if not isinstance(name, str):
            name = _old_name(str(row.get("key")), str(row.get("doc_hash") or ""))
        if name in verdicts:
            wrong = f"a second verdict on the question {row.get('key')!r}"
            expected = "one verdict a question"
            raise DataError(Fault(place, wrong, expected, remedy.replace("them", "it again")))
        verdicts[name] = _verdict(row, place)
    return Verdicts(path, source, verdicts)


def _old_name(key: str, doc_hash: str) -> str:
    return f"\x00{key}\x00{doc_hash}"


def _verdict(row: Row, place: str) -> Verdict:
    score = row.get("score")
    value = None if score is None else as_number(score)
    rows = row.get("verdicts")
    if (score is not None and value is None) or not isinstance(rows, list):
        raise DataError(Fault(place, "no score or no verdicts", "a row of rescore or judge"))
    return Verdict(value, tuple(_response(one) for one in rows if isinstance(one, dict)))


def _response(one: Mapping[str, Any]) -> tuple[str, str, str, Span | None]:
    outcome, rule, answer = (str(one.get(name) or "") for name in ("outcome", "rule", "answer"))
    return outcome, rule, answer, span_of(one.get("span"))


def span_of(value: Any) -> Span | None:
    """Return where an answer stands in its response, as it was logged, or None.

    >>> span_of([3, 7]), span_of(["a", 7]), span_of(None)
    ((3, 7), None, None)
    """
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    start, end = value
    if isinstance(start, int) and isinstance(end, int) and 0 <= start < end:
        return start, end
    return None
