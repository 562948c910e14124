"""The files in which `cotdistill eval` keeps responses until an evaluation has ended well.

They are in the output folder, so that the same command with the same folder finds them again.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

LOCK = ".evaluation.lock"
RESPONSES_KEPT = "responses_kept"
"""The key in lm-eval's results that counts the responses that a resumed evaluation had before."""
_PATTERN = ".unfinished-*.jsonl"


class Kept(NamedTuple):
    """What an interrupted evaluation left to resume from: its files, and how many responses."""

    files: tuple[Path, ...]
    responses: int


def responses_file(output: Path, identity: str, rank: str) -> Path:
    """Return where one process keeps the responses of one model.

    >>> str(responses_file(Path("scores"), "0123456789abcdef", "0"))
    'scores/.unfinished-0123456789ab-0.jsonl'
    """
    return output / f".unfinished-{identity[:12]}-{rank}.jsonl"


def kept_responses(output: Path) -> Kept:
    """Return what is kept in an output folder; a response that a kill cut in half is not counted.

    Raises:
        OSError: a file cannot be read.
    """
    files = sorted(output.glob(_PATTERN))
    return Kept(tuple(files), sum(path.read_bytes().count(b"\n") for path in files))
