"""Responses of a run that has not ended, kept one by one so that nothing is generated twice.

One JSON line a response, appended and flushed as it comes in. What a killed process left half
written at the end is cut off when the file is opened again.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from pathlib import Path
from typing import Any, Self

from cotdistill.errors import Fault, FaultsError


def request_key(context: Any, settings: Any) -> str:
    """Return a short name for one request: its whole prompt and its generation settings.

    >>> request_key("1+1?", {"seed": None}) == request_key("1+1?", {"seed": 1})
    False
    """
    told = json.dumps([str(context), settings], sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(told.encode()).hexdigest()[:24]


class Unfinished:
    """The responses of one run so far: kept ones are handed out once each, new ones appended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept: dict[str, list[str]] = defaultdict(list)
        self.count = 0
        whole = 0
        if path.is_file():
            with path.open("rb") as stream:
                for line in stream:
                    if not line.endswith(b"\n"):
                        break
                    key, response = json.loads(line)
                    self._kept[key].append(response)
                    self.count += 1
                    whole += len(line)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = path.open("ab")
            self._stream.truncate(whole)
        except OSError as error:
            raise FaultsError(Fault(str(path), f"cannot be written ({error.strerror})")) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def take(self, key: str) -> str | None:
        """Return a kept response to a request that was not handed out before, oldest first."""
        kept = self._kept.get(key)
        return kept.pop(0) if kept else None

    def add(self, key: str, response: str) -> None:
        """Keep one new response, safely on disk when this returns."""
        self._stream.write(json.dumps([key, response]).encode() + b"\n")
        self._stream.flush()
        self.count += 1

    def remove(self) -> None:
        """Forget everything: the run ended well, and its samples are written."""
        self._stream.close()
        self.path.unlink(missing_ok=True)
