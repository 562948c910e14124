"""The questions that are taught: a prepared benchmark, a file of any known shape, a hub dataset."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from cotdistill.benchmarks.packaged import benchmark, benchmark_names
from cotdistill.benchmarks.question import options_of, question_key
from cotdistill.benchmarks.store import prepared_splits, read_split, split_file
from cotdistill.corpus.records.import_traces import Refusal, traces_in
from cotdistill.corpus.records.row_reader import RowReader
from cotdistill.corpus.records.shape import RefusedRowError, SourceInfo
from cotdistill.corpus.records.sources import find_sources
from cotdistill.corpus.records.trace import Trace
from cotdistill.errors import DataError, Fault, MisuseError, did_you_mean
from cotdistill.files.jsonl import BadRow, numbered_rows
from cotdistill.grading.kinds import Kind
from cotdistill.hosts.hub import hub_rows

_MOST_FAULTS = 20


@dataclass(frozen=True, slots=True)
class Item:
    """One question to ask about; `rationale` is a reference solution or the trace to rewrite.

    `gold` and `rationale` are empty where they are unknown.
    """

    id: str
    dataset: str
    split: str
    question: str
    gold: str = ""
    kind: Kind = "auto"
    options: Mapping[str, str] | None = None
    rationale: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tolerance(self) -> float | None:
        """The relative tolerance that the source gives for its answer."""
        value = self.meta.get("tolerance")
        return float(value) if isinstance(value, int | float) else None


@dataclass(frozen=True)
class Items:
    """One or several sources (with commas between), read anew by each iteration, in their order.

    `limit` takes the first so many, `drawn` so many at random: which ones follows from their words
    alone. A question that comes twice is taken once.

    Raises:
        DataError: when read: the source is missing, or rows cannot be read; up to 20 at once.
    """

    name: str
    limit: int | None = None
    drawn: int | None = None

    def __iter__(self) -> Iterator[Item]:
        """Yield each question once."""
        if self.drawn is None:
            yield from self._each()
            return
        marks = heapq.nsmallest(self.drawn, map(_drawing, self._each()))
        chosen = frozenset(marks)
        yield from (item for item in self._each() if _drawing(item) in chosen)

    def _each(self) -> Iterator[Item]:
        seen: set[int] = set()
        faults: list[Fault] = []
        for place, found in items_in(self.name):
            if isinstance(found, str):
                faults.append(Fault(place, found, "a question", "correct or remove the row"))
                if len(faults) == _MOST_FAULTS:
                    break
                continue
            mark = hash((found.id, question_key(found.question), found.rationale))
            if mark in seen or faults:
                continue
            seen.add(mark)
            if self.limit is not None and len(seen) > self.limit:
                return
            yield found
        if faults:
            raise DataError(faults)
        if not seen:
            raise DataError(Fault(self.name, "no question in it", "rows with questions"))

    @property
    def path(self) -> Path | None:
        """The file that is read, None for a dataset on the hub."""
        path = Path(self.name)
        if path.exists():
            return path
        if "," in self.name:
            return None
        name, _, split = self.name.partition(":")
        return split_file(name, split or "train") if name in benchmark_names() else None


def _drawing(item: Item) -> bytes:
    """Return what orders questions at random."""
    text = f"{question_key(item.question)} {item.id}"
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def items_in(name: str) -> Iterator[tuple[str, Item | str]]:
    """Yield each row's place, and its question or why it is none, repeated questions too."""
    dataset, _, split = name.partition(":")
    if "," in name and not Path(name).exists():
        for part in name.split(","):
            yield from items_in(part.strip())
    elif Path(name).exists():
        source = find_sources([Path(name)])[0]
        if _are_records(source.path):
            yield from _records(source.path)
            return
        for number, found, _ in traces_in(source):
            place = f"{name}:{number}"
            yield place, found.why if isinstance(found, Refusal) else _item(found)
    elif dataset in benchmark_names():
        kind, splits = benchmark(dataset).kind, [*benchmark(dataset).rows]
        if split and split not in (*splits, *prepared_splits(dataset)):
            hint = did_you_mean(split, splits)
            raise MisuseError(f"{name}: no split '{split}' of {dataset}; {hint}")
        for number, row in enumerate(read_split(dataset, split or "train"), start=1):
            yield f"{name}: row {number}", _record(row, kind)
    elif "/" in dataset and not dataset.endswith((".jsonl", ".json", ".parquet")):
        reader = RowReader(SourceInfo(dataset=dataset, split=split or "train"))
        for number, row in enumerate(hub_rows(dataset, split=split or "train"), start=1):
            place = f"{name}: row {number}"
            try:
                for trace in reader.read(row)[0]:
                    yield place, _item(trace)
            except RefusedRowError as error:
                yield place, error.why
    elif dataset.endswith((".jsonl", ".json", ".parquet")):
        raise DataError(Fault(name, "no such file", "a file of questions"))
    else:
        known = [*benchmark_names()]
        raise MisuseError(
            f"no questions called '{name}'; expected a benchmark such as svamp:train, a file, or a "
            f"hub dataset ORG/NAME; {did_you_mean(dataset, known)}"
        )


def _item(trace: Trace) -> Item:
    return Item(
        trace.id,
        trace.dataset,
        trace.split,
        trace.question,
        trace.gold,
        trace.kind,
        trace.options,
        trace.rationale,
        trace.meta,
    )


_TEXTS = ("id", "dataset", "split", "question")


def _are_records(path: Path) -> bool:
    """Whether a file holds our own records of questions, as `prepare` writes them."""
    _, row = next(numbered_rows(path))
    return isinstance(row, dict) and row.keys() >= {*_TEXTS, "gold"} and "provenance" not in row


def _records(path: Path) -> Iterator[tuple[str, Item | str]]:
    for number, row in numbered_rows(path):
        place = f"{path}:{number}"
        yield place, row.why if isinstance(row, BadRow) else _record(row, "auto")


def _record(row: Mapping[str, Any], kind: Kind) -> Item | str:
    for name in _TEXTS:
        if not isinstance(row.get(name), str) or not row[name].strip():
            return f"no text in '{name}'" if name in row else f"no key '{name}'"
    given = row.get("kind") or kind
    if given not in get_args(Kind):
        return f"kind {given!r}; {did_you_mean(str(given), get_args(Kind))}"
    meta = row.get("meta")
    gold, rationale = row.get("gold"), row.get("rationale")
    return Item(
        row["id"],
        row["dataset"],
        row["split"],
        row["question"],
        "" if gold is None else str(gold),
        given,
        options_of(row.get("options")),
        rationale if isinstance(rationale, str) else "",
        meta if isinstance(meta, dict) else {},
    )
