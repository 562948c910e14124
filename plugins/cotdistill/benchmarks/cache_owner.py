"""Which model a response came from, so that no cache or journal answers for another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cotdistill.errors import Fault
from cotdistill.files.atomic import write_text

_WEIGHTS = (".safetensors", ".bin", ".json", ".model", ".gguf")


def identity_of(model: str, model_args: Mapping[str, Any]) -> str:
    """Return a hash of the backend, its arguments, and the files of a model that lies on disk.

    A checkpoint trained again under the same path is another model: sizes and times count.
    """
    files: list[tuple[str, int, int]] = []
    for value in model_args.values():
        folder = Path(str(value))
        if isinstance(value, str) and folder.is_dir():
            files += [
                (path.name, path.stat().st_size, path.stat().st_mtime_ns)
                for path in sorted(folder.iterdir())
                if path.suffix in _WEIGHTS
            ]
    identity = json.dumps([model, dict(sorted(model_args.items())), files], default=str)
    return hashlib.sha256(identity.encode()).hexdigest()


def cache_owner_fault(cache: Path, identity: str) -> Fault | None:
    """Return a fault if a response cache of lm-eval holds another model's responses.

    lm-eval's key knows the prompt but not the model, so a second model would get the first's text.
    """
    if not cache.is_file():
        return None
    owner = _owner_file(cache)
    if owner.is_file() and owner.read_text(encoding="utf-8").strip() == identity:
        return None
    whose = "of another model" if owner.is_file() else "of a model that nobody noted"
    remedy = "name another file with --use_cache, or delete this one"
    return Fault(str(cache), f"holds the responses {whose}", "this model's own", remedy)


def note_cache_owner(cache: Path, identity: str) -> None:
    """Record which model a response cache belongs to."""
    write_text(_owner_file(cache), identity + "\n")


def _owner_file(cache: Path) -> Path:
    return cache.with_name(cache.name + ".model")
