"""What an lm-eval 0.4 run leaves behind: `results_*.json` and `samples_<task>_<time>.jsonl`.

Every shape that 0.4 has written is read into one: responses as a string, a list or nested lists,
chat prompts as a JSON string inside a list, one row a filter, repeats inside a row. A task is
matched by its whole name, and only the newest file of a task in a folder is taken unless a time is
named, because lm-eval adds files and never replaces them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotdistill.errors import DataError, Fault, did_you_mean
from cotdistill.files.jsonl import Row, read_rows

_STAMP = r"(?P<stamp>\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?)"
_SAMPLES = re.compile(rf"samples_(?P<task>.+?)(?:_{_STAMP})?\.jsonl")
_RESULTS = re.compile(rf"results_{_STAMP}\.json|(?P<stem>.+)_(?P<later>\d{{4}}-\d\d-\d\dT.+)\.json")
_OURS = re.compile(r"\.(?:rescored|judged)(?:-\d+)?\.")
_ID_KEYS = ("id", "unique_id", "question_id", "problem_id", "idx", "ID")


@dataclass(frozen=True)
class SampleFile:
    """One samples file: where it is, which task it holds, when it was written."""

    path: Path
    task: str
    stamp: str

    @property
    def results(self) -> Path | None:
        """The results file of the same run, where there is one."""
        near = self.path.parent / f"results_{self.stamp}.json"
        if near.is_file():
            return near
        found = sorted(self.path.parent.glob(f"*_{self.stamp}.json")) if self.stamp else []
        return found[0] if found else None


@dataclass(frozen=True)
class Sample:
    """One question as one filter saw it, with every response to it.

    `number` is the row's own (`doc_id`), which may be wrong (lm-eval issue 4084); `key` is the
    document's id, which several documents may share.
    """

    place: str
    number: str
    key: str
    task: str
    filter: str
    doc: Row
    prompt: str
    responses: tuple[str, ...]
    target: str
    metrics: dict[str, Any]
    hashes: dict[str, str] = field(default_factory=dict)

    def numbers(self) -> dict[str, float]:
        """The metrics of this row that are numbers, named `metric,filter` as in a results file."""
        return {
            f"{name},{self.filter}": float(value)
            for name, value in self.metrics.items()
            if isinstance(value, bool | int | float)
        }


def find_samples(
    places: Iterable[Path], task: str | None = None, stamp: str | None = None
) -> list[SampleFile]:
    """Return the samples files in files and folders, newest a folder and task, sorted.

    Raises:
        DataError: a place holds no samples, or none of the named task or time.
    """
    found: dict[Path, SampleFile] = {}
    for place in places:
        here = _all_samples(place)
        chosen = [one for one in here if task in (None, one.task) and stamp in (None, one.stamp)]
        if not chosen:
            raise DataError(_nothing_chosen(place, here, task, stamp))
        if place.is_dir():
            chosen = newest(chosen)
        found |= {one.path: one for one in chosen}
    return sorted(found.values(), key=lambda one: (str(one.path.parent), one.task, one.stamp))


def newest(files: Iterable[SampleFile]) -> list[SampleFile]:
    """Keep the newest file of each task in each folder."""
    latest: dict[tuple[Path, str], SampleFile] = {}
    for one in sorted(files, key=lambda one: one.stamp):
        latest[one.path.parent, one.task] = one
    return list(latest.values())


def read_samples(file: SampleFile) -> Iterator[Sample]:
    """Yield the samples of one file in file order.

    Raises:
        DataError: the file is not JSON Lines, or a row is not a sample of lm-eval.
    """
    for number, row in enumerate(read_rows(file.path), start=1):
        place = f"{file.path}:{number}"
        if not isinstance(row.get("doc"), dict) or "resps" not in row:
            wrong = "a row without doc and resps"
            raise DataError(Fault(place, wrong, "a samples file of lm-eval --log_samples"))
        yield _sample(row, place, file.task)


def newest_results(folder: Path) -> list[Path]:
    """Return the newest results file of each directory below a folder, sorted."""
    latest: dict[Path, tuple[str, Path]] = {}
    for path in sorted(folder.rglob("*.json")):
        named = _RESULTS.fullmatch(path.name)
        if named and not _OURS.search(path.name):
            stamp = named["stamp"] or named["later"]
            latest[path.parent] = max(latest.get(path.parent, ("", path)), (stamp, path))
    return [path for _, path in sorted(latest.values(), key=lambda held: str(held[1]))]


def read_results(path: Path) -> Row:
    """Return what a results file holds.

    Raises:
        DataError: it is missing, not JSON, or has no results.
    """
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(Fault(str(path), f"not readable as JSON ({error})")) from error
    if not isinstance(held, dict) or not isinstance(held.get("results"), dict):
        raise DataError(Fault(str(path), "no 'results'", "a results file of lm-eval"))
    return held


def responses_of(row: Row) -> tuple[str, ...]:
    """Return every response of a row as text, whatever the nesting.

    Repeats are taken from `resps`: a filter may have kept only one of them.

    >>> responses_of({"resps": [["a", "b"]]}), responses_of({"resps": "a"})
    (('a', 'b'), ('a',))
    """
    held = row["resps"]
    return tuple(_texts(held)) or tuple(_texts(row.get("filtered_resps")))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    else:
        # lm-eval stores str(None) where a server sent no content
        yield "" if value is None or value == "None" else str(value)


def prompt_of(row: Row) -> str:
    """Return the prompt as one text, a chat turn by turn.

    >>> chat = ['[{"role": "user", "content": "2+2?"}]']
    >>> prompt_of({"arguments": {"gen_args_0": {"arg_0": chat}}})
    'user: 2+2?'
    """
    held = row.get("arguments")
    while isinstance(held, dict | list) and held:
        held = next(iter(held.values())) if isinstance(held, dict) else held[0]
    if not isinstance(held, str):
        return ""
    if held.lstrip()[:1] == "[":
        try:
            turns = json.loads(held)
            return "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in turns)
        except (ValueError, TypeError, KeyError, RecursionError):
            return held
    return held


def _sample(row: Row, place: str, task: str) -> Sample:
    doc = row["doc"]
    named = next((doc[k] for k in _ID_KEYS if isinstance(doc.get(k), str | int)), None)
    key = named if named is not None else row.get("doc_hash", row.get("doc_id", place))
    names = [name for name in row.get("metrics", []) if isinstance(name, str) and name in row]
    return Sample(
        place=place,
        number=str(row.get("doc_id", "")),
        key=str(key),
        task=task,
        filter=str(row.get("filter", "none")),
        doc=doc,
        prompt=prompt_of(row),
        responses=responses_of(row),
        target=str(row.get("target", "")),
        metrics={name: row[name] for name in names},
        hashes={name: str(row[name]) for name in ("doc_hash", "prompt_hash") if name in row},
    )


def _all_samples(place: Path) -> list[SampleFile]:
    if place.is_file():
        named = _SAMPLES.fullmatch(place.name)
        task = named["task"] if named else place.stem
        return [SampleFile(place, task, (named and named["stamp"]) or "")]
    return [
        SampleFile(path, named["task"], named["stamp"] or "")
        for path in sorted(place.rglob("samples_*.jsonl"))
        if (named := _SAMPLES.fullmatch(path.name)) and not _OURS.search(path.name)
    ]


def _nothing_chosen(
    place: Path, here: list[SampleFile], task: str | None, stamp: str | None
) -> Fault:
    if not here:
        return Fault(str(place), "no samples_*.jsonl", "a run of lm_eval with --log_samples")
    tasks = sorted({one.task for one in here})
    if task is not None and task not in tasks:
        return Fault(str(place), f"no samples of task '{task}'", "", did_you_mean(task, tasks))
    stamps = sorted({one.stamp for one in here})
    return Fault(str(place), f"no samples of {stamp}", f"one of {', '.join(stamps)}")
