"""Capture a teacher's signals for the rows of a training file, resumably.

Shards appear whole and are never rewritten; the manifest is written last. What was killed resumes
after its last shard.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cotdistill.distill.settings import Teacher
from cotdistill.distill.signals.manifest import (
    JOB,
    MANIFEST,
    ROW_SETTINGS,
    Comparison,
    Job,
    Manifest,
    Part,
    joint_hash,
    vocabulary_hash,
    weight_hashes,
    write_manifest,
)
from cotdistill.distill.signals.masses import Masses
from cotdistill.distill.signals.row_key import places_of, row_key
from cotdistill.distill.signals.shard import RowSignals, mass_of, write_shard
from cotdistill.distill.signals.stored_rows import StoredRows
from cotdistill.errors import Fault, FaultsError
from cotdistill.files.atomic import sha256_of, write_text
from cotdistill.files.locks import only_writer
from cotdistill.schema import read_shape
from cotdistill.tables import counted

_LOCK = ".lock"
_TOKENS_OF_PART = 200_000
_COMPARED = 0.01
_KS = (16, 32, 64, 128)
_WRITTEN_AGAIN = 500
"""Rows from which the size at a smaller k is measured."""

Row = tuple[list[int], list[int]]


class Engine(Protocol):
    """What scores rows."""

    def score(self, rows: Sequence[Row]) -> list[RowSignals]:
        """Return the signals of each row, in order."""


@dataclass(frozen=True)
class Capture:
    """What to capture: a teacher's signals for a training file's rows, into a folder."""

    arguments: Mapping[str, Any]
    teacher: Teacher
    output: Path
    engine: str = "transformers"
    top_k: int = 32
    temperatures: tuple[float, ...] = (1.0,)
    batch: int = 8
    compare: bool = True
    tokens_of_part: int = _TOKENS_OF_PART


def capture(
    wanted: Capture,
    rows: Sequence[Mapping[str, Any]],
    tokenizer: Any,
    engine: Callable[[], Engine],
    reference: Callable[[], Engine] | None = None,
) -> Manifest:
    """Write the signals of all rows that are trained on, and return what was written.

    `engine` and `reference` load a teacher when they are called, and not before.

    Raises:
        FaultsError: the folder holds another capture, cannot be written, or is being written.
    """
    _refuse_other_folder(wanted.output)
    with only_writer(wanted.output / _LOCK):
        return _capture(wanted, rows, tokenizer, engine, reference)


def _capture(
    wanted: Capture,
    rows: Sequence[Mapping[str, Any]],
    tokenizer: Any,
    engine: Callable[[], Engine],
    reference: Callable[[], Engine] | None,
) -> Manifest:
    weights = weight_hashes(str(wanted.teacher.model))
    job = _job(wanted, tokenizer, joint_hash(weights))
    _begin(wanted.output, job)
    wanted_rows = _unique_rows(rows)
    if not wanted_rows:
        raise FaultsError(Fault("rows", "no row has a token that is trained on"))
    parts = sorted(wanted.output.glob("part-*.parquet"))
    done = StoredRows(parts, job.temperatures)
    rest = {key: number for key, number in wanted_rows.items() if key not in done}
    if len(done) and rest:
        _say(f"{len(done):,} rows were captured before; {len(rest):,} left")
    if rest:
        scorer = engine()
        for number, chunk in enumerate(_chunks(rest, rows, wanted.tokens_of_part), len(parts)):
            write_shard(
                wanted.output / f"part-{number:05}.parquet", _scored(scorer, chunk, wanted.batch)
            )
            _say(f"part {number}: {counted(len(chunk), 'row')}")
    compared = None
    if reference is not None and wanted.compare:
        compared = _compared(
            wanted, job, {k: _row(rows[n]) for k, n in _few(wanted_rows)}, reference
        )
    manifest = _sealed(wanted, job, tokenizer, compared, weights)
    write_manifest(wanted.output, manifest)
    return manifest


def mass_table(folder: Path, manifest: Manifest) -> list[tuple[int, float, float, float]]:
    """Return for several k bytes a token, the mean share of the mass, and that of the worst 5 %.

    Bytes of a smaller k than was captured are those of the first rows, written again.
    """
    stored = _stored(folder, manifest)
    ks = [k for k in _KS if k < manifest.job.top_k] + [manifest.job.top_k]
    masses = [Masses() for _ in ks]
    some: dict[bytes, RowSignals] = {}
    for key in stored.keys():  # noqa: SIM118 -- it is no mapping
        row = stored.row(key)
        if len(some) < _WRITTEN_AGAIN:
            some[key] = row
        largest = np.sort(np.exp(row.log_p), axis=1)[:, ::-1].cumsum(1)
        for k, mass in zip(ks, masses, strict=True):
            mass.add(largest[:, min(k, largest.shape[1]) - 1])
    sizes = [_bytes_per_token(some, k) for k in ks[:-1]] + [manifest.bytes_per_token]
    return [
        (k, size, mass.mean, mass.quantile(0.05))
        for k, size, mass in zip(ks, sizes, masses, strict=True)
    ]


def _bytes_per_token(rows: Mapping[bytes, RowSignals], k: int) -> float:
    fewer = {}
    for key, row in rows.items():
        best = np.argsort(-row.log_p, axis=1)[:, :k]
        ids: NDArray[np.int64] = np.take_along_axis(row.ids, best, 1)
        log_p: NDArray[np.float32] = np.take_along_axis(row.log_p, best, 1)
        fewer[key] = replace(row, ids=ids, log_p=log_p)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "part.parquet"
        tokens = write_shard(path, fewer)
        return round(path.stat().st_size / max(1, tokens), 1)


def _job(wanted: Capture, tokenizer: Any, weights: str | None) -> Job:
    teacher = wanted.teacher
    return Job(
        teacher=str(teacher.model),
        revision=teacher.revision,
        adapters=teacher.adapters,
        quantization=teacher.quantization,
        weights=weights,
        engine="vllm-server" if wanted.engine.startswith("http") else wanted.engine,
        top_k=wanted.top_k,
        temperatures=tuple(sorted({1.0, *wanted.temperatures})),
        rows={name: wanted.arguments.get(name) for name in ROW_SETTINGS},
        tokenizer=vocabulary_hash(tokenizer),
    )


def _refuse_other_folder(folder: Path) -> None:
    """Refuse a folder that holds something and no capture that was begun."""
    if not folder.is_dir() or (folder / JOB).is_file():
        return
    if any(not path.name.startswith(".") for path in folder.iterdir()):
        raise FaultsError(Fault(str(folder), "is not empty", "", "choose another folder (-o)"))


def _begin(folder: Path, job: Job) -> None:
    """Make the folder this job's own; an unfinished capture of the same job is continued."""
    path = folder / JOB
    if path.is_file():
        earlier = read_shape(Job, json.loads(path.read_text(encoding="utf-8")), str(path))
        if differing := differences(earlier, job):
            wrong = f"holds signals captured with {differing}"
            raise FaultsError(Fault(str(folder), wrong, "", "choose another folder (-o)"))
    (folder / MANIFEST).unlink(missing_ok=True)
    write_text(path, job.model_dump_json(indent=2) + "\n")


def differences(earlier: Job, wanted: Job) -> str:
    """Say in what a capture differs from what is wanted; other data sets are no difference."""
    left_out = {"rows", "weights"}
    theirs, ours = earlier.model_dump(exclude=left_out), wanted.model_dump(exclude=left_out)
    for name in ROW_SETTINGS:
        if name != "dataset":
            theirs[name], ours[name] = earlier.rows.get(name), wanted.rows.get(name)
    found = [
        f"{name} {theirs[name]!r}, not {ours[name]!r}"
        for name in ours
        if theirs[name] != ours[name]
    ]
    if None not in (earlier.weights, wanted.weights) and earlier.weights != wanted.weights:
        found.append(f"other weights of {earlier.teacher}")
    return ", ".join(found)


def _unique_rows(rows: Sequence[Mapping[str, Any]]) -> dict[bytes, int]:
    """Return the numbers of the rows that are trained on; of equal rows the first."""
    found: dict[bytes, int] = {}
    for number, given in enumerate(rows):
        ids, labels = _row(given)
        if places_of(labels):
            found.setdefault(row_key(ids, labels), number)
    return found


def _row(given: Mapping[str, Any]) -> Row:
    return list(given["input_ids"]), list(given["labels"])


def _chunks(
    wanted: Mapping[bytes, int], rows: Sequence[Mapping[str, Any]], tokens: int
) -> Iterator[dict[bytes, Row]]:
    chunk: dict[bytes, Row] = {}
    filled = 0
    for key, number in wanted.items():
        row = _row(rows[number])
        if chunk and filled + len(row[0]) > tokens:
            yield chunk
            chunk, filled = {}, 0
        chunk[key] = row
        filled += len(row[0])
    if chunk:
        yield chunk


def _few(wanted: Mapping[bytes, int]) -> list[tuple[bytes, int]]:
    """Return one percent of the rows, at least one, chosen by their keys."""
    return sorted(wanted.items())[: max(1, round(len(wanted) * _COMPARED))]


def _scored(engine: Engine, rows: Mapping[bytes, Row], batch: int) -> dict[bytes, RowSignals]:
    """Score rows of similar length together."""
    keys = sorted(rows, key=lambda key: (len(rows[key][0]), key))
    scored: dict[bytes, RowSignals] = {}
    for start in range(0, len(keys), batch):
        some = keys[start : start + batch]
        scored |= zip(some, engine.score([rows[key] for key in some]), strict=True)
    return {key: scored[key] for key in rows}


def _stored(folder: Path, manifest: Manifest) -> StoredRows:
    return StoredRows((folder / part.name for part in manifest.parts), manifest.job.temperatures)


def _sealed(
    wanted: Capture,
    job: Job,
    tokenizer: Any,
    comparison: Comparison | None,
    weights: dict[str, str],
) -> Manifest:
    parts, mass = [], Masses()
    for path in sorted(wanted.output.glob("part-*.parquet")):
        stored = StoredRows([path], job.temperatures)
        tokens = 0
        for key in stored.keys():  # noqa: SIM118
            row = stored.row(key)
            mass.add(mass_of(row))
            tokens += len(row.tail)
        size, digest = path.stat().st_size, sha256_of(path)
        parts.append(
            Part(name=path.name, rows=len(stored), tokens=tokens, size=size, sha256=digest)
        )
    tokens = sum(part.tokens for part in parts)
    return Manifest(
        job=job,
        versions={name: importlib.metadata.version(name) for name in _packages(job.engine)},
        weights=weights,
        vocabulary=len(tokenizer),
        parts=tuple(parts),
        rows=sum(part.rows for part in parts),
        tokens=tokens,
        bytes_per_token=round(sum(part.size for part in parts) / tokens, 1),
        mass_mean=round(mass.mean, 6),
        mass_worst=round(mass.quantile(0.05), 6),
        comparison=comparison,
    )


def _packages(engine: str) -> list[str]:
    return ["cotdistill", "llamafactory", "transformers", *(["vllm"] if engine == "vllm" else [])]


def _compared(
    wanted: Capture, job: Job, rows: Mapping[bytes, Row], reference: Callable[[], Engine]
) -> Comparison:
    """Score a few rows with the reference, next to what is stored of them."""
    stored = StoredRows(sorted(wanted.output.glob("part-*.parquet")), job.temperatures)
    engine = reference()
    gaps, same = [], []
    for key, row in rows.items():
        (exact,) = engine.score([row])
        found = stored.row(key)
        gaps.append(np.abs(found.chosen - exact.chosen))
        same.append(_likeliest(found) == _likeliest(exact))
    gap = np.concatenate(gaps)
    return Comparison(
        reference="transformers",
        rows=len(rows),
        tokens=len(gap),
        mean_difference=float(gap.mean()),
        largest_difference=float(gap.max()),
        same_likeliest=float(np.concatenate(same).mean()),
    )


def _likeliest(row: RowSignals) -> NDArray[np.int64]:
    places = row.log_p.argmax(1)[:, None]
    best: NDArray[np.int64] = np.take_along_axis(row.ids, places, 1)[:, 0]
    return best


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
