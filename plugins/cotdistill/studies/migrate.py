"""A study file of version 1 becomes one of version 2, with its comments where they can stay."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cotdistill.errors import Fault, FaultsError
from cotdistill.files.atomic import free_name, write_text
from cotdistill.files.yamls import dump_yaml, parse_yaml, read_yaml
from cotdistill.studies.upgrade import upgrade, upgraded_text


@dataclass(frozen=True)
class Migrated:
    """The text in the newest form, what changed, and the file that was written, if any."""

    text: str
    changes: tuple[str, ...]
    written: Path | None


def migrate_file(path: Path, output: Path | None = None) -> Migrated:
    """Return a study file in the newest form, and write it if a file is named.

    A file that is replaced is kept next to it as `<name>.v1`; another one is never overwritten.

    Raises:
        FaultsError: the file is not a study, or the file to be written is there already.
    """
    value = read_yaml(path)
    if not isinstance(value, dict):
        raise FaultsError(Fault(str(path), "not a study", "a mapping of keys to values"))
    done = upgrade(value, str(path))
    before = path.read_text(encoding="utf-8-sig")
    text = upgraded_text(before, value, str(path))
    if parse_yaml(text, str(path)) != done.value:  # comments are worth less than the meaning
        text = dump_yaml(done.value)
    if output is None or (output == path and not done.changes):
        return Migrated(text, done.changes, output)
    if output == path:
        write_text(free_name(path.with_name(f"{path.name}.v1")), before)
    elif output.is_file() and output.read_bytes() == text.encode():
        return Migrated(text, done.changes, output)  # written before, by a call that was killed
    elif output.exists():
        raise FaultsError(Fault(str(output), "is there already", "", "name another file with -o"))
    write_text(output, text)
    return Migrated(text, done.changes, output)
