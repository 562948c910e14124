"""What an lm-eval 0.4 run leaves behind: `results_*.json` and `samples_<task>_<time>.jsonl`.

Every shape that 0.4 has written is read into one: responses as a string, a list or nested lists,
chat prompts as a JSON string inside a list, one row a filter, repeats inside a row. A task is
matched by its whole name. lm-eval adds files and never replaces them, so only the newest file of a
task in a folder is taken unless a time is named; it carries the names of those that were not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from cotdistill.errors import DataError, Fault, did_you_mean
from cotdistill.files.json_file import read_json
from cotdistill.files.jsonl import Row, read_rows
from cotdistill.files.stale import is_set_aside

_STAMP = r"(?P<stamp>\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?)"
_SAMPLES = re.compile(rf"samples_(?P<task>.+?)(?:_{_STAMP})?\.jsonl")
_RESULTS = re.compile(rf"results_{_STAMP}\.json|(?P<stem>.+)_(?P<later>\d{{4}}-\d\d-\d\dT.+)\.json")
_OURS = re.compile(r"\.(?:rescored|judged)(?:-\d+)?\.")
_ID_KEYS = ("id", "unique_id", "question_id", "problem_id", "idx", "ID")
_TEXT_OR_WHOLE = (str, int)
_NUMBERS = (bool, int, float)
_OBJECTS = ("results", "config", "configs", "versions", "n-shot", "n-samples", "group_subtasks")
_OBJECTS_BY_TASK = ("results", "configs", "n-samples")


@dataclass(frozen=True)
class SampleFile:
    """One samples file: where it is, which task it holds, when it was written.

    `older` are the files of the same task and folder that it was chosen before.
    """

    path: Path
    task: str
    stamp: str
    older: tuple[Path, ...] = field(default=(), compare=False)

    @property
    def results(self) -> Path | None:
        """The results file of the same run, where there is one."""
        same_stamp = self.path.parent / f"results_{self.stamp}.json"
        if same_stamp.is_file():
            return same_stamp
        found = sorted(self.path.parent.glob(f"*_{self.stamp}.json")) if self.stamp else []
        return found[0] if found else None


@dataclass(frozen=True)
class ResultsFile:
    """The newest results file of a folder, and the older ones that it was chosen before."""

    path: Path
    stamp: str
    older: tuple[Path, ...] = ()


class Sample(NamedTuple):
    """One question as one filter saw it, with every response to it: a row, read where asked.

    A tuple, because hundreds of thousands are made.
    """

    path: Path
    line: int
    task: str
    row: Row

    @property
    def place(self) -> str:
        """File and line, for messages."""
        return f"{self.path}:{self.line}"

    @property
    def doc(self) -> Row:
        """The document of the task."""
        doc: Row = self.row["doc"]
        return doc

    @property
    def number(self) -> str:
        """The row's own number (`doc_id`), which may be wrong (lm-eval issue 4084)."""
        return str(self.row.get("doc_id", ""))

    @property
    def key(self) -> str:
        """The document's id, which several documents may share; else its hash or the row."""
        doc = self.doc
        for name in _ID_KEYS:
            if isinstance(doc.get(name), _TEXT_OR_WHOLE):
                return str(doc[name])
        return str(self.row.get("doc_hash", self.row.get("doc_id", self.place)))

    @property
    def filter(self) -> str:
        """The filter that made this row; a file has a row a question and filter."""
        return str(self.row.get("filter", "none"))

    @property
    def prompt(self) -> str:
        """What the model was shown, as one text."""
        return prompt_of(self.row)

    @property
    def responses(self) -> tuple[str, ...]:
        """Every response, in order."""
        return responses_of(self.row)

    @property
    def target(self) -> str:
        """What the task calls the right answer; may be a worked solution."""
        return str(self.row.get("target", ""))

    @property
    def doc_hash(self) -> str | None:
        """lm-eval's hash of the document, where it was logged."""
        return None if "doc_hash" not in self.row else str(self.row["doc_hash"])

    @property
    def prompt_hash(self) -> str:
        """lm-eval's hash of the prompt, empty where it was not logged."""
        return str(self.row.get("prompt_hash", ""))

    def metric(self, name: str) -> Any:
        """Return what the row holds under a metric's name, or None."""
        return self.row.get(name)

    def numbers(self) -> dict[str, float]:
        """Return the metrics that are numbers, named `metric,filter` as in a results file.

        Raises:
            DataError: the row's list of metrics is none.
        """
        names = self.row.get("metrics", [])
        if not isinstance(names, list):
            wrong = f"metrics is {json.dumps(names)[:60]}"
            raise DataError(Fault(self.place, wrong, "a list of names"))
        return {
            f"{name},{self.filter}": number
            for name in names
            if isinstance(name, str) and (number := as_number(self.row.get(name))) is not None
        }


def as_number(value: Any) -> float | None:
    """Return a JSON number or boolean as a float, anything else as None.

    >>> as_number(True), as_number("0.5"), as_number(10**400)
    (1.0, None, inf)
    """
    if not isinstance(value, _NUMBERS):
        return None
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def find_samples(
    places: Iterable[Path], task: str | None = None, stamp: str | None = None
) -> list[SampleFile]:
    """Return the samples files in files and folders, newest a folder and task, sorted.

    What a run folder has in `stale/` is of runs that were made again, and is left out.

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
    """Keep the newest file of each task in each folder, with the names of the others."""
    by_task: dict[tuple[Path, str], list[SampleFile]] = {}
    for one in sorted(files, key=lambda one: one.stamp):
        by_task.setdefault((one.path.parent, one.task), []).append(one)
    return [
        SampleFile(last.path, last.task, last.stamp, tuple(one.path for one in older))
        for *older, last in by_task.values()
    ]


def read_samples(file: SampleFile) -> Iterator[Sample]:
    """Yield the samples of one file in file order.

    Raises:
        DataError: the file is not JSON Lines, or a row is not a sample of lm-eval.
    """
    for number, row in enumerate(read_rows(file.path), start=1):
        if not isinstance(row.get("doc"), dict) or "resps" not in row:
            wrong = "a row without doc and resps"
            expected = "a samples file of lm-eval --log_samples"
            raise DataError(Fault(f"{file.path}:{number}", wrong, expected))
        yield Sample(file.path, number, file.task, row)


def newest_results(folder: Path) -> list[ResultsFile]:
    """Return the newest results file of each directory below a folder, sorted."""
    by_folder: dict[Path, list[tuple[str, Path]]] = {}
    for path in sorted(folder.rglob("*.json")):
        named = _RESULTS.fullmatch(path.name)
        if named and not _OURS.search(path.name):
            stamp = named["stamp"] or named["later"]
            by_folder.setdefault(path.parent, []).append((stamp, path))
    chosen = []
    for files in by_folder.values():
        *older, (stamp, path) = sorted(files)
        chosen.append(ResultsFile(path, stamp, tuple(other for _, other in older)))
    return sorted(chosen, key=lambda one: str(one.path))


def passed_over(chosen: Path, older: tuple[Path, ...], kind: str) -> str:
    """Say which of several files in one folder is read, and that the time in its name decides."""
    names = ", ".join(path.name for path in older)
    return (
        f"{len(older) + 1} {kind} in {chosen.parent.name}; read: {chosen.name}, the newest by "
        f"its name; not read: {names}"
    )


def samples_of(results: ResultsFile) -> dict[str, SampleFile]:
    """Return the samples files of the same run as a results file, by task."""
    return {
        one.task: one
        for one in _all_samples(results.path.parent, below=False)
        if one.stamp == results.stamp
    }


def read_results(path: Path) -> Row:
    """Return what a results file holds: `results` by task, and how it was scored.

    Raises:
        DataError: it is missing, not JSON, has no results, or parts of it are not objects; all at
            once.
    """
    value = read_json(path, "a results file of lm-eval")
    if not isinstance(value, dict) or not isinstance(value.get("results"), dict):
        raise DataError(Fault(str(path), "no 'results'", "a results file of lm-eval"))
    parts = {name: value[name] for name in _OBJECTS if value.get(name) is not None}
    for name in _OBJECTS_BY_TASK:
        if isinstance(parts.get(name), Mapping):
            parts |= {f"{name}.{task}": part for task, part in parts[name].items()}
    faults = [
        Fault(f"{path}: {name}", f"a {_kind(part)}", "an object, as lm-eval writes it")
        for name, part in parts.items()
        if not isinstance(part, dict)
    ]
    if faults:
        raise DataError(faults)
    return value


def responses_of(row: Row) -> tuple[str, ...]:
    """Return every response of a row as text, whatever the nesting.

    Repeats are taken from `resps`: a filter may have kept only one of them.

    >>> responses_of({"resps": [["a", "b"]]}), responses_of({"resps": "a"})
    (('a', 'b'), ('a',))
    """
    resps = row["resps"]
    while isinstance(resps, list) and len(resps) == 1:
        resps = resps[0]  # nearly all rows hold one list of texts, or one text
    if isinstance(resps, str) and resps != "None":
        return (resps,)
    return tuple(_texts(resps)) or tuple(_texts(row.get("filtered_resps")))


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
    prompt = row.get("arguments")
    while isinstance(prompt, dict | list) and prompt:
        prompt = next(iter(prompt.values())) if isinstance(prompt, dict) else prompt[0]
    if not isinstance(prompt, str):
        return ""
    if prompt.lstrip()[:1] == "[":
        try:
            turns = json.loads(prompt)
            return "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in turns)
        except (ValueError, TypeError, KeyError, RecursionError):
            return prompt
    return prompt


def _kind(value: object) -> str:
    names = {list: "list", str: "string", bool: "boolean"}
    return names.get(type(value), "number")


def _all_samples(place: Path, *, below: bool = True) -> list[SampleFile]:
    if place.is_file():
        named = _SAMPLES.fullmatch(place.name)
        task = named["task"] if named else place.stem
        return [SampleFile(place, task, (named and named["stamp"]) or "")]
    pattern = "samples_*.jsonl"
    return [
        SampleFile(path, named["task"], named["stamp"] or "")
        for path in sorted(place.rglob(pattern) if below else place.glob(pattern))
        if (named := _SAMPLES.fullmatch(path.name))
        and not _OURS.search(path.name)
        and not is_set_aside(path, place)
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
