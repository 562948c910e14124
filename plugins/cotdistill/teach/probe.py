"""Whether a merge writes at a length between two models: a teacher assistant, before it teaches.

MiCoTA's assistant (arXiv:2507.01887) is a merge that thinks longer than an instruct model and
shorter than a reasoning model. That a merge does is not sure: it may write as briefly as the one,
never end, or solve nothing. So all three answer the same few questions first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotdistill.errors import DataError, Fault
from cotdistill.files.jsonl import read_rows
from cotdistill.stats.confidence import Interval, cluster_interval, wilson
from cotdistill.tables import Table, counted
from cotdistill.teach.outputs import FAILURES, TRACES

_BOX = "\\boxed"
_MANY_CUT = 0.05


@dataclass(frozen=True)
class Response:
    """What one response to a question was like; `correct` is None where nothing tells."""

    tokens: int
    boxed: bool
    stopped: bool
    correct: bool | None


@dataclass(frozen=True)
class ProbedModel:
    """What a model's responses to the shared questions were like.

    Units: tokens a response; shares in [0, 1]. `correct` is None where no question has a gold.
    """

    tokens: Interval
    boxed: Interval
    stopped: Interval
    correct: Interval | None


@dataclass(frozen=True)
class ProbeRecord:
    """What a probe found: each model by its name, the merge's differences in tokens, the verdict.

    `above_short` and `below_long` are paired by question. `wrong` says why the merge is not between
    the two models; nothing in it means that it is.
    """

    merge: str
    short: str
    long: str
    questions: int
    unanswered: int
    models: Mapping[str, ProbedModel]
    above_short: Interval
    below_long: Interval
    wrong: tuple[str, ...]
    notes: tuple[str, ...]
    required: bool = True

    def table(self) -> Table:
        """Return a row a model, and the verdict."""
        rows = [
            (name, _number(one.tokens), *(_share(part) for part in _shares(one)))
            for name, one in self.models.items()
        ]
        notes = [
            f"{counted(self.questions, 'question')}, the same for each; 95 % intervals over them",
            f"{self.merge} writes {_number(self.above_short)} tokens more than {self.short} and "
            f"{_number(self.below_long)} fewer than {self.long}",
            *self.notes,
        ]
        notes += [f"NOT INTERMEDIATE: {one}" for one in self.wrong]
        if not self.wrong:
            notes.append(f"{self.merge} is between {self.short} and {self.long}")
        columns = ("model", "tokens", "boxed", "ended by itself", "correct")
        return Table(columns, tuple(rows), tuple(notes))


def probe_record(
    merge: str, short: str, long: str, folders: Mapping[str, Path], *, required: bool
) -> ProbeRecord:
    """Return how a merge's responses compare with those of the two models it should lie between.

    `folders` has what `cotdistill teach` wrote for each of the three.

    Raises:
        DataError: files are missing or broken, or the models answered fewer than two questions.
    """
    found = {name: responses_in(folders[name]) for name in (short, merge, long)}
    shared = [key for key in found[merge] if all(key in one for one in found.values())]
    asked = len(set().union(*found.values()))
    if len(shared) < 2:
        wrong = f"{counted(len(shared), 'question')} that all of {short}, {merge}, {long} answered"
        raise DataError(Fault(f"probe of {merge}", wrong, "2 or more", "see failures.jsonl"))

    def of(name: str, measure: Callable[[Response], float | None]) -> list[float]:
        values = (measure(found[name][key]) for key in shared)
        return [float(one) for one in values if one is not None]

    models = {}
    for name in found:
        graded = of(name, lambda one: one.correct)
        models[name] = ProbedModel(
            cluster_interval(of(name, lambda one: one.tokens)),
            wilson(int(sum(of(name, lambda one: one.boxed))), len(shared)),
            wilson(int(sum(of(name, lambda one: one.stopped))), len(shared)),
            wilson(int(sum(graded)), len(graded)) if graded else None,
        )
    tokens = {name: of(name, lambda one: one.tokens) for name in found}
    above = [a - b for a, b in zip(tokens[merge], tokens[short], strict=True)]
    below = [a - b for a, b in zip(tokens[long], tokens[merge], strict=True)]
    record = ProbeRecord(
        merge, short, long, len(shared), asked - len(shared), models, cluster_interval(above),
        cluster_interval(below), (), (), required,
    )  # fmt: skip
    return ProbeRecord(
        **{**vars(record), "wrong": tuple(_wrong(record)), "notes": tuple(_notes(record))}
    )


def responses_in(folder: Path) -> dict[str, Response]:
    """Return the responses in a folder that `teach` wrote, by question; truncated ones too.

    Raises:
        DataError: files are missing or broken.
    """
    for name in (TRACES, FAILURES):
        if not (folder / name).is_file():
            raise DataError(
                Fault(str(folder / name), "no such file", "what teach writes", "ask again")
            )
    found: dict[str, Response] = {}
    if (folder / TRACES).stat().st_size:
        for row in read_rows(folder / TRACES):
            provenance: Mapping[str, Any] = row.get("provenance") or {}
            found[str(row["question"])] = Response(
                int(provenance.get("tokens") or 0),
                _BOX in str(row["rationale"]),
                provenance.get("finish_reason") != "length",
                (row.get("meta") or {}).get("correct"),
            )
    if (folder / FAILURES).stat().st_size == 0:
        return found
    answered = [one.correct is not None for one in found.values()]
    correct = False if any(answered) or not answered else None  # None without reference answers
    for row in read_rows(folder / FAILURES):
        if row.get("state") == "cut" and row.get("tokens"):
            found[str(row["question"])] = Response(int(row["tokens"]), False, False, correct)
    return found


def _wrong(record: ProbeRecord) -> list[str]:
    short, merge, long = (
        record.models[n].tokens for n in (record.short, record.merge, record.long)
    )
    found = []
    if short.value >= long.value:
        found.append(
            f"{record.short} writes {short.value:,.0f} tokens and {record.long} {long.value:,.0f}: "
            "there is nothing between them"
        )
    elif merge.value <= short.value:
        found.append(
            f"it writes {merge.value:,.0f} tokens, no more than {record.short} ({short.value:,.0f})"
        )
    elif merge.value >= long.value:
        found.append(
            f"it writes {merge.value:,.0f} tokens, no fewer than {record.long} ({long.value:,.0f})"
        )
    solved = {name: one.correct.value for name, one in record.models.items() if one.correct}
    others = [share for name, share in solved.items() if name != record.merge]
    if solved.get(record.merge) == 0 and others and min(others) > 0:
        found.append(f"it solves none of {record.questions}, and both others solve some")
    return found


def _notes(record: ProbeRecord) -> list[str]:
    found = []
    for difference, other in ((record.above_short, record.short), (record.below_long, record.long)):
        if difference.low <= 0 < difference.value:
            found.append(
                f"{counted(record.questions, 'question')} do not show a difference in length from "
                f"{other}: {_number(difference)} tokens"
            )
    for name, one in record.models.items():
        if 1 - one.stopped.value > _MANY_CUT:
            found.append(
                f"{1 - one.stopped.value:.0%} of {name}'s responses were truncated: it would write "
                "more; raise max_tokens"
            )
    if record.unanswered:
        found.append(f"{counted(record.unanswered, 'question')} left out: not answered by all")
    return found


def _shares(one: ProbedModel) -> tuple[Interval | None, ...]:
    return (one.boxed, one.stopped, one.correct)


def _number(interval: Interval) -> str:
    return f"{interval.value:,.0f} [{interval.low:,.0f}, {interval.high:,.0f}]"


def _share(interval: Interval | None) -> str:
    if interval is None:
        return "-"
    return f"{interval.value:.0%} [{interval.low:.0%}, {interval.high:.0%}]"
