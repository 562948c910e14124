"""Merge models: look at everything first, then write a block at a time, then give it its name."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cotdistill import __version__
from cotdistill.errors import DataError, Fault, MisuseError
from cotdistill.files.atomic import folder_written_whole, write_text
from cotdistill.files.inputs import refuse_overwriting
from cotdistill.files.json_file import NOT_JSON, read_object
from cotdistill.models.merge.checks import (
    HEADS,
    Candidate,
    compare,
    merged_tensors,
    read_config,
)
from cotdistill.models.merge.methods import (
    BLOCK,
    Angle,
    Block,
    Part,
    combined,
    kept_at_random,
    kept_by_size,
    linear,
    threshold_in_passes,
)
from cotdistill.models.merge.settings import WITHOUT_BASE, Merge
from cotdistill.models.merge.weights import (
    INDEX,
    Shard,
    ShardWriter,
    Tensor,
    encoded,
    shards_of,
    weights_of,
)

RECORD = "merge.json"
COPIED = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
    "tokenizer.model", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt",
    "spiece.model", "chat_template.jinja", "chat_template.json",
)  # fmt: skip
"""What is copied from the donor, byte for byte, where it has it."""

MOST_SHARD_BYTES = 5_000_000_000
_PROGRAM_BYTES = 70 << 20  # the interpreter with NumPy
_COPIES = 6  # of a block, next to one of each model
_HEADER_BYTES = 1000  # of memory, for each tensor of a model
_SAMPLED_SECONDS = 0.5


@dataclass(frozen=True)
class Sources:
    """The models of a merge after every check, and what may be worth knowing of them."""

    settings: Merge
    donor: Candidate
    base: Candidate | None
    models: tuple[tuple[Candidate, Part], ...]
    tensors: Mapping[str, Tensor]  # what is written, by name
    donor_rows: frozenset[int]
    notes: tuple[str, ...]
    fingerprints: Mapping[str, str]
    file: Path | None = None  # that the merge is described in

    @property
    def candidates(self) -> list[Candidate]:
        """Every model that is read, each once."""
        found = [self.donor, *([self.base] if self.base else []), *(c for c, _ in self.models)]
        return list({id(one): one for one in found}.values())

    @property
    def numbers(self) -> int:
        """How many weights the merged model has."""
        return sum(tensor.numbers for tensor in self.tensors.values())

    def shards(self, most_bytes: int = MOST_SHARD_BYTES) -> tuple[Shard, ...]:
        """Return the files that are written, of at most so many bytes."""
        return shards_of([(n, t.dtype, t.shape) for n, t in self.tensors.items()], most_bytes)

    def record(self, engine: str = "native") -> dict[str, Any]:
        """Return what the merge is made from, as it stands in its folder."""
        return {
            "made_by": f"cotdistill merge {__version__}",
            "engine": engine,
            "settings": self.settings.model_dump(mode="json"),
            "fingerprints": dict(self.fingerprints),
            "donor": self.donor.name,
            "rows_of_the_donor": sorted(self.donor_rows),
            "weights": self.numbers,
        }


@dataclass(frozen=True)
class MergeOptions:
    """How a merge is written; none of it changes a weight.

    Units: `shard_bytes` in bytes.
    """

    threads: int = 1
    shard_bytes: int = MOST_SHARD_BYTES
    progress: Callable[[int, int], object] = field(default=lambda _done, _all: None)


@dataclass(frozen=True)
class Estimate:
    """What a merge would need: bytes of memory and disk, seconds of CPU, from a timed sample."""

    weights: int
    output_bytes: int
    files: int
    memory_bytes: int
    cpu_seconds: float


def look_at(settings: Merge, folders: Mapping[str, Path], file: Path) -> Sources:
    """Return the models of a merge, compared with each other; `folders` has one for each name.

    `file` is where the merge is described, and what its faults name.

    Raises:
        DataError: they cannot be merged; every reason at once.
    """
    place = str(file)
    candidates, faults = _candidates(settings, folders, place)
    if faults:
        raise DataError(faults)
    donor = candidates[settings.chosen_donor]
    others = [one for one in candidates.values() if one is not donor]
    found = compare(donor, others, place, keep_tokens=settings.tokens == "donor")
    faults = list(found.faults)
    with ExitStack() as stack:
        for one in candidates.values():
            stack.callback(one.weights.close)
        prints = {name: one.weights.fingerprint() for name, one in candidates.items()}
    faults += _same_weights(settings, prints, place)
    if faults:
        raise DataError(faults)
    models = tuple(
        (candidates[name], Part(share.weight, share.density, prints[name]))
        for name, share in settings.models.items()
    )
    base = candidates[settings.base] if settings.base else None
    return Sources(
        settings, donor, base, models, merged_tensors(donor), found.donor_rows,
        tuple(found.notes), prints, file,
    )  # fmt: skip


def _candidates(
    settings: Merge, folders: Mapping[str, Path], place: str
) -> tuple[dict[str, Candidate], list[Fault]]:
    faults: list[Fault] = []
    found: dict[str, Candidate] = {}
    for name in named_models(settings):
        try:
            weights = weights_of(folders[name], f"{place}: {name}")
            found[name] = Candidate(name, weights, read_config(folders[name]))
        except DataError as error:
            faults += error.faults
    return found, faults


def named_models(settings: Merge) -> list[str]:
    """Return every model that a merge reads, each once: base, models, donor."""
    names = [settings.base, *settings.models, settings.chosen_donor]
    return list(dict.fromkeys(name for name in names if name))


def _same_weights(settings: Merge, prints: Mapping[str, str], place: str) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for name in filter(None, [settings.base, *settings.models]):
        first = seen.setdefault(prints[name], name)
        if first != name:
            wrong = f"the same weights as {first}"
            yield Fault(f"{place}: {name}", wrong, "models that differ", "name each model once")


def is_made(sources: Sources, folder: Path, engine: str = "native") -> bool:
    """Return whether a folder holds this very merge already."""
    try:
        return read_object(folder / RECORD) == sources.record(engine)
    except (DataError, *NOT_JSON):
        return False


def refuse_folder(sources: Sources, folder: Path) -> None:
    """Refuse an output that is or holds an input, or is something other than an earlier merge.

    Raises:
        MisuseError: nothing was written.
    """
    read = [one.weights.folder / name for one in sources.candidates for name in COPIED]
    read += [t.file for one in sources.candidates for t in one.weights.tensors.values()]
    read += [sources.file] if sources.file else []
    refuse_overwriting(dict.fromkeys(read), [folder], [folder])
    if folder.is_dir() and any(folder.iterdir()) and not (folder / RECORD).is_file():
        raise MisuseError(f"{folder}: holds something other than a merge; choose another folder")
    if folder.exists() and not folder.is_dir():
        raise MisuseError(f"{folder}: is a file; choose another name")


def write_merge(sources: Sources, folder: Path, options: MergeOptions | None = None) -> None:
    """Write the merged model; the folder appears under its name only when it is complete.

    Raises:
        DataError: a merged weight is not finite, or an input changed.
        FaultsError: the disk is full or the folder cannot be written.
        MisuseError: the folder is none that may be replaced.
    """
    options = options or MergeOptions()
    refuse_folder(sources, folder)
    shards = sources.shards(options.shard_bytes)
    _refuse_small_disk(folder, sum(shard.bytes for shard in shards))
    with folder_written_whole(folder) as filling, ExitStack() as stack:
        for one in sources.candidates:
            stack.callback(one.weights.close)
            one.weights.open()
        pool = stack.enter_context(ThreadPoolExecutor(max(1, options.threads)))
        done = 0
        for shard in shards:
            with closing(ShardWriter(filling, shard)) as writer:
                for name, _, shape in shard.tensors:
                    _write_tensor(sources, name, writer, pool)
                    done += math.prod(shape)
                    options.progress(done, sources.numbers)
                writer.finish()
        if len(shards) > 1:
            _write_index(filling, shards)
        copy_from_donor(sources, filling)


def copy_from_donor(sources: Sources, folder: Path, engine: str = "native") -> None:
    """Copy configuration, tokenizer and chat template as they are, and write the merge's record."""
    for name in COPIED:
        if (sources.donor.weights.folder / name).is_file():
            shutil.copyfile(sources.donor.weights.folder / name, folder / name)
    write_text(folder / RECORD, json.dumps(sources.record(engine), indent=2) + "\n")


def _write_tensor(
    sources: Sources, name: str, writer: ShardWriter, pool: ThreadPoolExecutor
) -> None:
    numbers = sources.tensors[name].numbers
    merged = tensor_merger(sources, name)
    bounds = [(start, min(start + BLOCK, numbers)) for start in range(0, numbers, BLOCK)]

    def one(bound: tuple[int, int]) -> bool:
        block = merged(*bound)
        writer.write(name, bound[0], block)
        limit = 65504.0 if sources.tensors[name].dtype == "F16" else math.inf
        return bool(np.isfinite(block).all() and np.abs(block).max(initial=0) <= limit)

    fine = True
    for at in range(0, len(bounds), 256):  # so that an interruption is not far away
        fine &= all(pool.map(one, bounds[at : at + 256]))
    if not fine:
        wrong = "the merged tensor has numbers that its type cannot hold, or that are none"
        odd = [c.name for c in sources.candidates if not _is_finite(c, name, bounds)]
        remedy = f"look at {', '.join(odd)}" if odd else "choose smaller weights"
        raise DataError(Fault(name, wrong, "finite numbers", remedy))


def _is_finite(candidate: Candidate, name: str, bounds: list[tuple[int, int]]) -> bool:
    return all(np.isfinite(candidate.weights.block(name, *bound)).all() for bound in bounds)


def tensor_merger(sources: Sources, name: str) -> Callable[[int, int], Block]:
    """Return the function that merges a block of a tensor, after what needs all of it first."""
    rows = _donor_row_keeper(sources, name)
    with np.errstate(all="ignore"):  # a number that is none is found in what is merged
        merged = _merger(sources, name)

    def merged_block(start: int, stop: int) -> Block:
        with np.errstate(all="ignore"):
            return rows(merged(start, stop), start)

    return merged_block


def _merger(sources: Sources, name: str) -> Callable[[int, int], Block]:
    if sources.settings.merge in WITHOUT_BASE:
        return _without_base(sources, name)
    return _with_base(sources, name)


def _without_base(sources: Sources, name: str) -> Callable[[int, int], Block]:
    models = [candidate.weights for candidate, _ in sources.models]
    parts = [part for _, part in sources.models]
    if sources.settings.merge == "slerp":
        angle = Angle()
        for bound in _bounds(sources, name):
            angle.add(models[0].block(name, *bound), models[1].block(name, *bound))
        first, second = angle.shares(parts[1].weight / (parts[0].weight + parts[1].weight))
        parts = [Part(first, 1, ""), Part(second, 1, "")]
        return lambda start, stop: linear(
            [one.block(name, start, stop) for one in models], parts, is_normalized=False
        )
    is_normalized = sources.settings.is_normalized
    return lambda start, stop: linear(
        [one.block(name, start, stop) for one in models], parts, is_normalized
    )


def _with_base(sources: Sources, name: str) -> Callable[[int, int], Block]:
    settings = sources.settings
    assert sources.base is not None
    base = sources.base.weights
    parts = [part for _, part in sources.models]
    is_dare = settings.merge.startswith("dare")
    thresholds = _thresholds(sources, name) if settings.merge == "ties" else []
    by_sign = settings.merge.endswith("ties")

    def merged(start: int, stop: int) -> Block:
        below = base.block(name, start, stop)
        differences = [
            candidate.weights.block(name, start, stop) - below for candidate, _ in sources.models
        ]
        for place, (block, part) in enumerate(zip(differences, parts, strict=True)):
            if is_dare:
                kept_at_random(block, part, f"{settings.seed}/{name}/{start // BLOCK}")
            elif thresholds:
                kept_by_size(block, thresholds[place])
        total = combined(differences, parts, by_sign=by_sign, is_normalized=settings.is_normalized)
        if settings.scale != 1:
            total *= np.float32(settings.scale)
        total += below
        return total

    return merged


def _thresholds(sources: Sources, name: str) -> list[float]:
    """Return the size from which TIES keeps a difference, for each model."""
    assert sources.base is not None
    base, numbers = sources.base.weights, sources.tensors[name].numbers
    found = []
    for candidate, part in sources.models:
        weights = candidate.weights

        def blocks(weights: Any = weights) -> Iterator[Block]:
            for bound in _bounds(sources, name):
                yield weights.block(name, *bound) - base.block(name, *bound)

        kept = int(part.density * numbers)
        found.append(0.0 if part.density >= 1 else threshold_in_passes(blocks, kept))
    return found


def _bounds(sources: Sources, name: str) -> Iterator[tuple[int, int]]:
    numbers = sources.tensors[name].numbers
    for start in range(0, numbers, BLOCK):
        yield start, min(start + BLOCK, numbers)


def _donor_row_keeper(sources: Sources, name: str) -> Callable[[Block, int], Block]:
    """Return what puts the donor's rows of some token ids into a block of an embedding."""
    tensor = sources.tensors[name]
    rows = sorted(sources.donor_rows) if name.endswith(HEADS) and len(tensor.shape) == 2 else []
    if not rows:
        return lambda block, _start: block
    width, weights = tensor.shape[1], sources.donor.weights

    def with_rows(block: Block, start: int) -> Block:
        for row in rows:
            first = max(row * width, start)
            last = min((row + 1) * width, start + block.size)
            if first < last:
                block[first - start : last - start] = weights.block(name, first, last)
        return block

    return with_rows


def estimate(sources: Sources, options: MergeOptions | None = None) -> Estimate:
    """Return what a merge would need here; the time from tensors that are merged and dropped.

    Those are of a middle size, one after the other until half a second of CPU has passed.
    """
    options = options or MergeOptions()
    shards = sources.shards(options.shard_bytes)
    by_size = sorted(sources.tensors, key=lambda name: sources.tensors[name].numbers)
    large = [name for name in by_size if sources.tensors[name].numbers >= BLOCK]
    spent, numbers = 0.0, 0
    with ExitStack() as stack:
        for one in sources.candidates:
            stack.callback(one.weights.close)
            one.weights.open()
        for name in large or by_size[-20:]:
            before = time.process_time()
            merged = tensor_merger(sources, name)
            for bound in _bounds(sources, name):
                encoded(merged(*bound), sources.tensors[name].dtype)
            spent += time.process_time() - before
            numbers += sources.tensors[name].numbers
            if spent > _SAMPLED_SECONDS:
                break
    blocks = options.threads * (len(sources.candidates) + _COPIES) * BLOCK * 4
    headers = _HEADER_BYTES * len(sources.tensors) * (len(sources.candidates) + 1)
    return Estimate(
        sources.numbers,
        sum(shard.bytes for shard in shards),
        len(shards),
        _PROGRAM_BYTES + headers + blocks,
        spent / max(numbers, 1) * sources.numbers,
    )


def _write_index(folder: Path, shards: tuple[Shard, ...]) -> None:
    places = {name: shard.name for shard in shards for name, _, _ in shard.tensors}
    index = {
        "metadata": {"total_size": sum(shard.bytes for shard in shards)},
        "weight_map": dict(sorted(places.items())),
    }
    write_text(folder / INDEX, json.dumps(index, indent=2) + "\n")


def _refuse_small_disk(folder: Path, needed: int) -> None:
    there = next(parent for parent in folder.absolute().parents if parent.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        wrong = f"needs {needed / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB of the disk are free"
        raise DataError(Fault(str(folder), wrong, "", "free some space or choose another folder"))
