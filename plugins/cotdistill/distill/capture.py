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
    vocabulary_hash,
    write_manifest,
)
from cotdistill.distill.signals.row_key import places_of, row_key
from cotdistill.distill.signals.shard import RowSignals, StoredRows, mass_of, write_shard
from cotdistill.errors import Fault, FaultsError
from cotdistill.files.atomic import sha256_of, write_text
from cotdistill.schema import read_shape
from cotdistill.tables import counted

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
        FaultsError: the folder holds another capture, or cannot be written.
    """
    job = _job(wanted, tokenizer)
    _begin(wanted.output, job)
    wanted_rows = _unique_rows(rows)
    if not wanted_rows:
        raise FaultsError(Fault("rows", "no row has a token that is trained on"))
    parts = sorted(wanted.output.glob("part-*.parquet"))
    done = StoredRows(parts, job.temperatures).keys()
    rest = {key: row for key, row in wanted_rows.items() if key not in done}
    if done and rest:
        _say(f"{len(done):,} rows were captured before; {len(rest):,} left")
    if rest:
        scorer = engine()
        for number, chunk in enumerate(_chunks(rest, wanted.tokens_of_part), len(parts)):
            write_shard(
                wanted.output / f"part-{number:05}.parquet", _scored(scorer, chunk, wanted.batch)
            )
            _say(f"part {number}: {counted(len(chunk), 'row')}")
    manifest = _sealed(wanted, job, tokenizer, wanted_rows, reference)
    write_manifest(wanted.output, manifest)
    return manifest


def mass_table(folder: Path, manifest: Manifest) -> list[tuple[int, float, float, float]]:
    """Return for several k bytes a token, the mean share of the mass, and that of the worst 5 %.

    Bytes of a smaller k than was captured are those of the first rows, written again.
    """
    stored = _stored(folder, manifest)
    table = []
    some = {key: stored.row(key) for key in sorted(stored.keys())[:_WRITTEN_AGAIN]}
    kept = [
        np.sort(np.exp(stored.row(key).log_p), axis=1)[:, ::-1] for key in sorted(stored.keys())
    ]
    for k in [k for k in _KS if k < manifest.job.top_k] + [manifest.job.top_k]:
        mass = np.concatenate([row[:, :k].sum(1) for row in kept])
        size = manifest.bytes_per_token
        if k < manifest.job.top_k:
            size = _bytes_per_token(some, k)
        table.append((k, size, float(mass.mean()), float(np.quantile(mass, 0.05))))
    return table


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


def _job(wanted: Capture, tokenizer: Any) -> Job:
    teacher = wanted.teacher
    return Job(
        teacher=str(teacher.model),
        revision=teacher.revision,
        adapters=teacher.adapters,
        quantization=teacher.quantization,
        engine="vllm-server" if wanted.engine.startswith("http") else wanted.engine,
        top_k=wanted.top_k,
        temperatures=tuple(sorted({1.0, *wanted.temperatures})),
        rows={name: wanted.arguments.get(name) for name in ROW_SETTINGS},
        tokenizer=vocabulary_hash(tokenizer),
    )


def _begin(folder: Path, job: Job) -> None:
    """Make the folder this job's own; an unfinished capture of the same job is continued."""
    path = folder / JOB
    if path.is_file():
        earlier = read_shape(Job, json.loads(path.read_text(encoding="utf-8")), str(path))
        if differing := differences(earlier, job):
            wrong = f"holds signals captured with {differing}"
            raise FaultsError(Fault(str(folder), wrong, "", "choose another folder (-o)"))
    elif folder.is_dir() and any(folder.iterdir()):
        raise FaultsError(Fault(str(folder), "is not empty", "", "choose another folder (-o)"))
    (folder / MANIFEST).unlink(missing_ok=True)
    write_text(path, job.model_dump_json(indent=2) + "\n")


def differences(earlier: Job, wanted: Job) -> str:
    """Say in what a capture differs from what is wanted; other data sets are no difference."""
    theirs, ours = earlier.model_dump(exclude={"rows"}), wanted.model_dump(exclude={"rows"})
    for name in ROW_SETTINGS:
        if name != "dataset":
            theirs[name], ours[name] = earlier.rows.get(name), wanted.rows.get(name)
    return ", ".join(
        f"{name} {theirs[name]!r}, not {ours[name]!r}"
        for name in ours
        if theirs[name] != ours[name]
    )


def _unique_rows(rows: Sequence[Mapping[str, Any]]) -> dict[bytes, Row]:
    found: dict[bytes, Row] = {}
    for row in rows:
        ids, labels = list(row["input_ids"]), list(row["labels"])
        if places_of(labels):
            found.setdefault(row_key(ids, labels), (ids, labels))
    return found


def _chunks(rows: Mapping[bytes, Row], tokens: int) -> Iterator[dict[bytes, Row]]:
    chunk: dict[bytes, Row] = {}
    filled = 0
    for key, row in rows.items():
        if chunk and filled + len(row[0]) > tokens:
            yield chunk
            chunk, filled = {}, 0
        chunk[key] = row
        filled += len(row[0])
    if chunk:
        yield chunk


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
    rows: Mapping[bytes, Row],
    reference: Callable[[], Engine] | None,
) -> Manifest:
    paths = sorted(wanted.output.glob("part-*.parquet"))
    parts, masses = [], []
    for path in paths:
        stored = StoredRows([path], job.temperatures)
        rows_of_part = [stored.row(key) for key in sorted(stored.keys())]
        masses += [mass_of(row) for row in rows_of_part]
        tokens = sum(len(row.tail) for row in rows_of_part)
        size = path.stat().st_size
        parts.append(
            Part(
                name=path.name,
                rows=len(rows_of_part),
                tokens=tokens,
                size=size,
                sha256=sha256_of(path),
            )
        )
    mass = np.concatenate(masses)
    tokens = sum(part.tokens for part in parts)
    comparison = None
    if reference is not None and wanted.compare:
        comparison = _compared(StoredRows(paths, job.temperatures), rows, reference())
    return Manifest(
        job=job,
        versions={name: importlib.metadata.version(name) for name in _packages(job.engine)},
        weights=_weight_hashes(wanted.teacher),
        vocabulary=len(tokenizer),
        parts=tuple(parts),
        rows=sum(part.rows for part in parts),
        tokens=tokens,
        bytes_per_token=round(sum(part.size for part in parts) / tokens, 1),
        mass_mean=round(float(mass.mean()), 6),
        mass_worst=round(float(np.quantile(mass, 0.05)), 6),
        comparison=comparison,
    )


def _packages(engine: str) -> list[str]:
    return ["cotdistill", "llamafactory", "transformers", *(["vllm"] if engine == "vllm" else [])]


def _weight_hashes(teacher: Teacher) -> dict[str, str]:
    folder = Path(str(teacher.model))
    return {path.name: sha256_of(path) for path in sorted(folder.glob("*.safetensors"))}


def _compared(stored: StoredRows, rows: Mapping[bytes, Row], engine: Engine) -> Comparison:
    """Score one percent of the rows, chosen by their keys, with the reference."""
    keys = sorted(rows)[: max(1, round(len(rows) * _COMPARED))]
    gaps, same = [], []
    for key in keys:
        (exact,) = engine.score([rows[key]])
        found = stored.row(key)
        gaps.append(np.abs(found.chosen - exact.chosen))
        best = [
            np.take_along_axis(r.ids, r.log_p.argmax(1)[:, None], 1)[:, 0] for r in (found, exact)
        ]
        same.append(best[0] == best[1])
    gap = np.concatenate(gaps)
    return Comparison(
        reference="transformers",
        rows=len(keys),
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
