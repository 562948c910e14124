"""An append-only log of values by key, so that a killed program loses none of them.

One JSON line a value, written at once: a line is in the file when `add` returns, and survives a
kill of the program (not a power failure, for that `close` must have come). What a kill left half
written at the end is cut off when the file is opened again, but only if the file is such a log.
"""

from __future__ import annotations

import fcntl
import json
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cotdistill.errors import DataError, Fault, FaultsError
from cotdistill.files.growing import GrowingFile, cannot_write
from cotdistill.files.jsonl import json_bytes

_BEGINNING = b'{"key": "'


class Journal:
    """The values kept under each key, oldest first; one writer at a time.

    Only the position of each value is in memory; a value is read from the file when it is needed.

    >>> import tempfile; folder = Path(tempfile.mkdtemp())
    >>> with Journal(folder / "responses.jsonl") as journal:
    ...     journal.add("2 + 2", {"text": "5"})
    ...     journal.add("2 + 2", {"text": "4"})
    >>> with Journal(folder / "responses.jsonl") as journal:
    ...     len(journal), journal.latest("2 + 2"), journal.values("1 + 1")
    (2, {'text': '4'}, [])
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._starts: dict[str, list[int]] = {}
        self._taken: Counter[str] = Counter()
        self._file = GrowingFile(path, -1)
        self._count = 0

    def __enter__(self) -> Self:
        """Open, lock and read the file.

        Raises:
            FaultsError: another program has it open, or it cannot be written.
            DataError: it is not such a log, or a line in its middle is broken; it is not changed.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = GrowingFile.opened(self.path)
            fcntl.flock(self._file.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            wrong = "another program is writing it"
            raise FaultsError(Fault(str(self.path), wrong, "", "wait for it or stop it")) from error
        except OSError as error:
            self.close()
            raise cannot_write(self.path, error) from error
        try:
            self._read()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close and unlock the file."""
        self.close()

    def __len__(self) -> int:
        """Return the number of values."""
        return self._count

    def __contains__(self, key: str) -> bool:
        """Return whether there is a value under a key."""
        return key in self._starts

    def values(self, key: str) -> list[Any]:
        """Return all values kept under a key, oldest first."""
        return [self._value_at(start) for start in self._starts.get(key, ())]

    def latest(self, key: str) -> Any:
        """Return the value that was added last under a key, or None."""
        starts = self._starts.get(key)
        return self._value_at(starts[-1]) if starts else None

    def take(self, key: str) -> Any:
        """Return the oldest value under a key that was not taken before, or None."""
        number = self._taken[key]
        starts = self._starts.get(key, [])
        if number >= len(starts):
            return None
        self._taken[key] += 1
        return self._value_at(starts[number])

    def add(self, key: str, value: Any) -> None:
        """Keep a value; it is in the file when this returns.

        Raises:
            FaultsError: the disk is full; what was added before stays whole.
        """
        line = b'{"key": %s, "value": %s}\n' % (json_bytes(key), json_bytes(value))
        self._enter(key, self._file.append(line))

    def close(self) -> None:
        """Bring everything to the disk, then close and unlock the file."""
        self._file.close()

    def remove(self) -> None:
        """Close and delete the file: its values are kept elsewhere now."""
        self.path.unlink(missing_ok=True)
        self.close()

    def _read(self) -> None:
        with self.path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if not line.endswith(b"\n"):
                    self._finish(line, number)
                    return
                entry = _entry(line)
                if entry is None:
                    raise self._not_a_log(number)
                self._enter(entry[0], self._file.size)
                self._file.size += len(line)

    def _finish(self, line: bytes, number: int) -> None:
        """End a last line that lacks only its end; cut it off if it is the beginning of one."""
        ours = line.startswith(_BEGINNING[: len(line)])
        entry = _entry(line) if ours else None
        if entry is not None:
            start = self._file.size
            self._file.size += len(line)
            self._file.append(b"\n")
            self._enter(entry[0], start)
        elif ours and not _is_json(line):
            self._file.cut(self._file.size)
        else:
            raise self._not_a_log(number)

    def _enter(self, key: str, start: int) -> None:
        self._starts.setdefault(key, []).append(start)
        self._count += 1

    def _value_at(self, start: int) -> Any:
        entry = _entry(self._file.line_at(start))
        if entry is None:
            wrong = f"the file changed while it was read (at byte {start:,})"
            raise DataError(Fault(str(self.path), wrong, "", "run it again"))
        return entry[1]

    def _not_a_log(self, number: int) -> DataError:
        wrong = "not a line of a journal"
        remedy = "nothing was changed; name another file, or remove this one"
        return DataError(
            Fault(f"{self.path}:{number}", wrong, '{"key": ..., "value": ...}', remedy)
        )


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _entry(line: bytes) -> tuple[str, Any] | None:
    """Return the key and the value of one line, or None where it is no line of a journal."""
    try:
        read = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if isinstance(read, dict) and read.keys() == {"key", "value"}:
        key, value = read["key"], read["value"]
    elif isinstance(read, list) and len(read) == 2:
        key, value = read  # as versions before 0.2 kept responses
    else:
        return None
    return (key, value) if isinstance(key, str) else None
