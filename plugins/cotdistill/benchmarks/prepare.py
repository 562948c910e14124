"""Bring a benchmark's questions, from the hub or a file, into the one record shape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotdistill.benchmarks.benchmark import Benchmark, question_hash
from cotdistill.benchmarks.convert import questions_of
from cotdistill.benchmarks.packaged import benchmark, benchmark_names
from cotdistill.benchmarks.store import outputs_of, split_file, write_split
from cotdistill.errors import DataError, Fault, MisuseError
from cotdistill.files.inputs import InputFiles, refuse_overwriting
from cotdistill.files.jsonl import Row, read_rows
from cotdistill.files.parquet import parquet_rows
from cotdistill.hosts.hub import UnreachableError, current_revision, split_rows


@dataclass(frozen=True)
class Prepared:
    """One split that was written: where, how many rows, and what was left out with its reasons."""

    dataset: str
    split: str
    path: Path
    rows: int
    dropped: dict[str, int]


def prepare(
    name: str, source: Path | None = None, split: str | None = None, *, any_size: bool = False
) -> list[Prepared]:
    """Prepare the splits of one benchmark and return what was written.

    Without a source all splits come from the hub. A source file gives one split: the one named, or
    the one that its own name tells (`train`, `validation`, `test`).

    Raises:
        MisuseError: there is no such benchmark or split, a file's split cannot be told, or the file
            is the one that would be written.
        DataError: the rows are not the benchmark's (see `questions_of`), or the hub gives none.
    """
    declared = benchmark(name)
    if source is not None:
        chosen = _check_split(declared, split or _split_of(source))
        return [_from_file(declared, chosen, source, any_size)]
    if declared.hub is None:
        raise MisuseError(f"{name} is on no hub; type: cotdistill prepare {name} --from FILE")
    splits = [_check_split(declared, split)] if split else list(declared.hub.splits)
    return [_from_hub(declared, chosen, any_size) for chosen in splits]


def _from_file(declared: Benchmark, split: str, source: Path, any_size: bool) -> Prepared:
    if not source.is_file():
        raise DataError(Fault(str(source), "no such file", "a .jsonl, .json or .parquet file"))
    refuse_overwriting([source], outputs_of(declared.name, split))
    inputs = InputFiles.of([source])
    facts = {"source": {"file": source.name, "sha256": inputs.sha256(source)}}
    return _write(declared, split, _file_rows(source, inputs), str(source), facts, any_size)


def _from_hub(declared: Benchmark, split: str, any_size: bool) -> Prepared:
    hub = declared.hub
    if hub is None or split not in hub.splits:
        raise MisuseError(f"{declared.name} has no {split} split on the hub; give one with --from")
    place = f"{hub.id}:{hub.splits[split]}"
    try:
        revision = hub.revision or current_revision(hub.id)
        facts = {"source": {"hub": hub.id, "revision": revision, "configs": hub.configs}}
        rows = split_rows(hub.id, hub.configs, hub.splits[split], hub.revision)
        return _write(declared, split, rows, place, facts, any_size)
    except UnreachableError as error:
        remedy = f"with a copy at hand: cotdistill prepare {declared.name} --from FILE"
        raise DataError(Fault(place, f"cannot be fetched ({error})", "", remedy)) from error


def _write(
    declared: Benchmark,
    split: str,
    rows: Iterable[Row],
    place: str,
    facts: dict[str, Any],
    any_size: bool,
) -> Prepared:
    questions = questions_of(declared, split, rows, place, any_size=any_size)
    if fault := _another_benchmark_fault(declared, questions.rows, place):
        raise DataError(fault)
    facts = {**facts, "read": questions.read, "dropped": questions.dropped}
    if recomputed := sum("source_gold" in row["meta"] for row in questions.rows):
        facts["golds_recomputed"] = recomputed
    count = write_split(declared.name, split, questions.rows, facts)
    path = split_file(declared.name, split)
    return Prepared(declared.name, split, path, count, questions.dropped)


def _another_benchmark_fault(declared: Benchmark, rows: list[Row], place: str) -> Fault | None:
    """Return a fault if most questions are known to be those of another benchmark."""
    hashes = {question_hash(row["question"]) for row in rows}
    for name in benchmark_names():
        if name != declared.name and 2 * len(hashes & benchmark(name).question_hashes) > len(rows):
            wrong = f"holds the questions of {name}"
            remedy = f"type: cotdistill prepare {name} --from FILE"
            return Fault(place, wrong, f"those of {declared.name}", remedy)
    return None


def _split_of(source: Path) -> str:
    found = [split for split in ("train", "validation", "test") if split in source.stem.lower()]
    if len(found) == 1:
        return found[0]
    raise MisuseError(f"{source.name} does not tell its split; add --split train or --split test")


def _check_split(declared: Benchmark, split: str) -> str:
    if split not in declared.rows:
        known = ", ".join(declared.rows)
        raise MisuseError(f"{declared.name} has no split '{split}'; known: {known}")
    return split


def _file_rows(source: Path, inputs: InputFiles) -> Iterator[Row]:
    yield from parquet_rows(source) if source.suffix == ".parquet" else read_rows(source)
    inputs.refuse_changes()  # all rows are read before the first is written
