"""Texts of the user's own training rows, which two tokenizers must encode alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from cotdistill.errors import DataError, Fault
from cotdistill.files.json_file import read_object
from cotdistill.files.jsonl import read_rows
from cotdistill.files.parquet import parquet_rows
from cotdistill.hosts.hub import cached_rows, hub_rows

ROWS_ENCODED = 1000


class TextsToEncode(NamedTuple):
    """Texts of training rows, and a line for each hub dataset whose rows could not be read."""

    texts: list[str]
    unread: list[str]


def texts_to_encode(
    arguments: Mapping[str, Any], root: Path = Path(), *, ask_hub: bool
) -> TextsToEncode:
    """Return texts of the rows that a training file names, whatever their columns are called.

    Rows on the hub are those of the local cache; with `ask_hub` the hub is asked for others.
    `root` is the folder that the training starts in.

    Raises:
        DataError: a local file is broken.
    """
    unread: list[str] = []
    texts: list[str] = []
    for entry, folder in _entries(arguments, root):
        wanted = ROWS_ENCODED - len(texts)
        if entry.get("file_name"):
            path = folder / str(entry["file_name"])
            files = sorted(path.iterdir()) if path.is_dir() else [path]
            texts += islice((text for file in files for text in _texts_in(file)), wanted)
        elif entry.get("hf_hub_url") and wanted:
            place = str(entry["hf_hub_url"])
            named: dict[str, Any] = {key: entry.get(key) for key in ("subset", "folder")}
            named["split"] = entry.get("split") or "train"
            rows = cached_rows(place, **named, cache=arguments.get("cache_dir"))
            if rows is None and not ask_hub:
                unread.append(f"{place}: its rows are not in the local cache")
                continue
            if rows is None:
                rows = hub_rows(place, **named)
            try:
                texts += islice((text for row in rows for text in _strings(row)), wanted)
            except DataError as error:
                unread += [f"{one.place}: {one.wrong}" for one in error.faults]
    return TextsToEncode(texts, unread)


def _entries(arguments: Mapping[str, Any], root: Path) -> Iterator[tuple[dict[str, Any], Path]]:
    folder = root / str(arguments.get("dataset_dir", "data"))
    register = folder / "dataset_info.json"
    if not register.is_file():
        return
    registry = read_object(register)
    names = arguments.get("dataset") or []
    for name in names.split(",") if isinstance(names, str) else names:
        entry = registry.get(str(name).strip(), {})
        if not isinstance(entry, dict):
            raise DataError(Fault(f"{register}:{name}", "not a JSON object", "file_name, columns"))
        yield entry, folder


def _texts_in(path: Path) -> Iterator[str]:
    if not path.is_file() or path.suffix not in (".json", ".jsonl", ".parquet"):
        return
    for row in parquet_rows(path) if path.suffix == ".parquet" else read_rows(path):
        yield from _strings(row)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)
