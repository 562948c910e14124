"""What signals were captured from and for, so that a training can tell whether they are its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from cotdistill.errors import DataError, Fault
from cotdistill.files.atomic import sha256_of, sha256_of_text, write_text
from cotdistill.schema import Shape, read_shape

MANIFEST = "manifest.json"
JOB = "capture.json"
ROW_SETTINGS = (
    "template", "default_system", "enable_thinking", "cutoff_len", "train_on_prompt",
    "mask_history", "efficient_eos", "dataset",
)  # fmt: skip
"""Arguments of a training file that change token ids or what is trained on."""


class Job(Shape):
    """What a capture was asked for; two with equal jobs continue each other."""

    version: Literal[1] = 1
    teacher: str
    revision: str | None = None
    adapters: str | None = None
    quantization: int | None = None
    weights: str | None = Field(default=None, description="hash of a local teacher's weights")
    engine: str
    top_k: int = Field(ge=1)
    temperatures: tuple[float, ...] = (1.0,)
    rows: dict[str, Any] = Field(default={}, description="the training file's settings")
    tokenizer: str = Field(description="hash of the student's vocabulary")


class Part(Shape):
    """One shard, as it was sealed."""

    name: str
    rows: int
    tokens: int
    size: int
    sha256: str


class Comparison(Shape):
    """How far an engine's log probabilities are from the reference's, over some rows."""

    reference: str
    rows: int
    tokens: int
    mean_difference: float = Field(description="of the chosen tokens' log probabilities, in nats")
    largest_difference: float
    same_likeliest: float = Field(description="share of tokens with the same likeliest token")


class Manifest(Shape):
    """A finished capture."""

    job: Job
    versions: dict[str, str]
    weights: dict[str, str] = Field(default={}, description="hashes of a local teacher's weights")
    vocabulary: int
    parts: tuple[Part, ...]
    rows: int
    tokens: int
    bytes_per_token: float
    mass_mean: float = Field(description="share of the teacher's probability that is kept")
    mass_worst: float = Field(description="the same for the 5 % of tokens with the least")
    comparison: Comparison | None = None


def vocabulary_hash(tokenizer: Any) -> str:
    """Return a hash of the tokens of a tokenizer by their ids."""
    digest = hashlib.sha256()
    for number in range(len(tokenizer)):
        digest.update(f"{number}:{tokenizer.convert_ids_to_tokens(number)}\0".encode())
    return digest.hexdigest()


def weight_hashes(model: str) -> dict[str, str]:
    """Return the hashes of a local model's weight files, by their names; empty for a hub id."""
    return {path.name: sha256_of(path) for path in sorted(Path(model).glob("*.safetensors"))}


def joint_hash(weights: Mapping[str, str]) -> str | None:
    """Return one hash of all weight files, or None where there are none.

    >>> joint_hash({}), joint_hash({"model.safetensors": "ab"})[:8]
    (None, '44009030')
    """
    return sha256_of_text(json.dumps(weights, sort_keys=True)) if weights else None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the file that says that a capture is complete."""
    write_text(folder / MANIFEST, manifest.model_dump_json(indent=2) + "\n")


def read_manifest(folder: Path, place: str) -> Manifest:
    """Return what a folder of signals says about itself; its shards are checked against it.

    Raises:
        DataError: there is no finished capture, or a shard is not what was written.
    """
    path = folder / MANIFEST
    if not path.is_file():
        wrong = f"{folder} holds no finished capture"
        remedy = "run `cotdistill capture` (again: it continues)"
        raise DataError(Fault(place, wrong, f"a {MANIFEST}", remedy))
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(Fault(str(path), f"not JSON ({error})")) from error
    manifest = read_shape(Manifest, value, str(path), DataError)
    faults = [fault for part in manifest.parts for fault in _part_faults(folder, part)]
    if faults:
        raise DataError(faults)
    return manifest


def _part_faults(folder: Path, part: Part) -> list[Fault]:
    path = folder / part.name
    remedy = "remove this file and the manifest, and run the same capture again"
    if not path.is_file():
        return [Fault(str(path), "missing", "a shard that the manifest names", remedy)]
    size = path.stat().st_size
    if size != part.size:
        return [Fault(str(path), f"{size:,} bytes", f"{part.size:,} (truncated?)", remedy)]
    if sha256_of(path) != part.sha256:
        return [Fault(str(path), "other bytes than were written", "", remedy)]
    return []
