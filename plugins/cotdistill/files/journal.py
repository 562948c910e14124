"""A file that only grows: one JSON line an answer, so that a killed program loses none of them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cotdistill.errors import DataError, Fault, FaultsError


class Journal:
    """Answers by key, kept on disk as they come; a second program with the same file has them all.

    A last line that a kill left unfinished is cut off when the file is opened again. One writer
    at a time: the file is locked while it is open.

    >>> import tempfile; folder = Path(tempfile.mkdtemp())
    >>> with Journal(folder / "answers.jsonl") as journal:
    ...     journal.add("key", {"text": "42"})
    >>> with Journal(folder / "answers.jsonl") as journal:
    ...     journal.get("key")
    {'text': '42'}
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: dict[str, Any] = {}
        self._descriptor = -1

    def __enter__(self) -> Self:
        """Open, lock and read the file.

        Raises:
            FaultsError: another program has it open, or it cannot be written.
            DataError: a line in its middle is broken.
        """
        import fcntl

        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._close()
            wrong = "another program is writing it"
            raise FaultsError(Fault(str(self.path), wrong, "", "wait for it or stop it")) from error
        except OSError as error:
            self._close()
            raise FaultsError(Fault(str(self.path), f"cannot be written ({error})")) from error
        try:
            self._read()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close and unlock the file."""
        self._close()

    def __len__(self) -> int:
        """Return the number of answers."""
        return len(self._held)

    def __contains__(self, key: str) -> bool:
        """Return whether there is an answer for a key."""
        return key in self._held

    def get(self, key: str) -> Any:
        """Return the answer kept under a key, or None."""
        return self._held.get(key)

    def add(self, key: str, value: Any) -> None:
        """Keep an answer; it is in the file when this returns.

        Raises:
            FaultsError: the disk is full; what was written before stays whole.
        """
        line = json.dumps({"key": key, "value": value}, ensure_ascii=True) + "\n"
        data = line.encode("ascii")
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError as error:
            raise FaultsError(Fault(str(self.path), f"cannot be written ({error})")) from error
        self._held[key] = value

    def _read(self) -> None:
        good = 0
        with self.path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if not line.endswith(b"\n"):
                    break  # cut short by a kill; only the last line can be
                try:
                    held = json.loads(line)
                    self._held[held["key"]] = held["value"]
                except (ValueError, KeyError, TypeError) as error:
                    wrong = "not a line of a journal"
                    raise DataError(Fault(f"{self.path}:{number}", wrong)) from error
                good += len(line)
        os.truncate(self._descriptor, good)

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
