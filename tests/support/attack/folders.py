"""What a folder holds, to tell whether anything was lost."""

from __future__ import annotations

import hashlib
from pathlib import Path


def hashes(folder: Path) -> dict[str, str]:
    """Return the hash of each file below a folder; of what cannot be read, why."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        try:
            if path.is_file():
                found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            found[name] = type(error).__name__
    return found
