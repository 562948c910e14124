"""Which weights a model has, so that every training row can name the model that wrote it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from cotdistill.files.atomic import sha256_of
from cotdistill.hosts.hub_commits import cached_commit
from cotdistill.hosts.llamafactory.outputs import weight_files


def model_identity(folder: Path, weights: str, revision: str | None = None) -> dict[str, Any]:
    """Return what identifies a model: a hash of its weights, or the commit of the hub's.

    `weights` is a folder, relative to the run folder or absolute, or a model of a hub.
    """
    path = folder / weights
    files = sorted(weight_files(path)) if path.is_dir() else []
    if not files:
        commit = cached_commit("models", weights, revision)
        return {"model": weights, "revision": revision, "commit": commit}
    digests = [f"{file.name} {sha256_of(file)}" for file in files]
    digest = digests[0].split()[-1] if len(digests) == 1 else _digest(digests)
    return {"model": weights, "sha256": digest}


def short_name(identity: dict[str, Any]) -> str:
    """Return the part of an identity that a training row carries."""
    return str(identity.get("sha256") or identity.get("commit") or identity["model"])


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
