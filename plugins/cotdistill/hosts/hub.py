"""Rows of a dataset on the hub, streamed; the only module that knows the `datasets` library."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cotdistill.errors import DataError, Fault


class UnreachableError(Exception):
    """The hub does not give the rows; the text is one line, and says why."""


def cached_model(name: str, revision: str | None = None) -> Path:
    """Return the folder of a hub model in the local cache; asks no hub.

    Raises:
        DataError: it is not there.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (OSError, ValueError) as error:
        remedy = f"fetch it: hf download {name}"
        raise DataError(Fault(name, "is not in the local cache", "", remedy)) from error


def hub_rows(
    place: str,
    *,
    subset: str | None = None,
    split: str = "train",
    folder: str | None = None,
    revision: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a hub dataset, by its id (or of a local folder named in its place).

    Raises:
        DataError: the library is missing, or the hub or the dataset cannot be reached.
    """
    options = {"name": subset, "split": split, "data_dir": folder, "streaming": True}
    if revision is not None:
        options["revision"] = revision
    try:
        yield from _rows(place, options)
    except UnreachableError as error:
        raise DataError(
            Fault(
                place,
                f"cannot be read from the hub ({error})",
                "a reachable hub (HF_ENDPOINT, HF_TOKEN) or a local copy",
                "fetch it first, or use an arm with 'file'",
            )
        ) from error


def cached_rows(
    place: str,
    *,
    subset: str | None = None,
    split: str = "train",
    folder: str | None = None,
    cache: str | None = None,
) -> Iterator[dict[str, Any]] | None:
    """Return the rows of a hub dataset that `datasets` loaded before, or None; asks no hub.

    `cache` is where the library keeps them, if not where it does by itself. A local folder that
    is named in the place of a hub id is read.

    Raises:
        DataError: while rows are read: one cannot be.
    """
    if Path(place).is_dir():
        return hub_rows(place, subset=subset, split=split, folder=folder)
    if importlib.util.find_spec("datasets") is None:
        return None
    from datasets.packaged_modules.cache.cache import Cache

    library = logging.getLogger("datasets")
    level = library.level
    library.setLevel(logging.ERROR)  # it tells of every dataset that it finds
    try:
        builder = Cache(
            cache_dir=cache,
            dataset_name=place.rpartition("/")[2],
            repo_id=place,
            config_name=subset,
            data_dir=folder,
            version="auto",
            hash="auto",
        )
        rows = builder.as_dataset(split=split)
    except _refusals():
        return None
    finally:
        library.setLevel(level)
    return _read(place, rows)


def _read(place: str, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    try:
        yield from rows
    except _refusals() as error:
        raise DataError(Fault(place, f"its rows cannot be read ({_one_line(error)})")) from error


def split_rows(
    place: str, configs: Iterable[str | None], split: str, revision: str | None
) -> Iterator[dict[str, Any]]:
    """Yield the rows of one split, all configurations after one another, at the pinned revision.

    Raises:
        DataError: the library is missing.
        UnreachableError: no connection, no such repository, revision, configuration or split.
    """
    for config in configs:
        yield from _rows(place, {"name": config, "split": split, "revision": revision})


def _rows(place: str, options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    try:
        import datasets
    except ModuleNotFoundError as error:
        if error.name != "datasets":  # it is installed and something that it needs is not
            raise
        remedy = "pip install 'cotdistill[eval]' (or [train]), or give a local file"
        raise DataError(Fault(place, "needs the datasets library", "", remedy)) from error
    hub_log = logging.getLogger("huggingface_hub")
    level = hub_log.level
    hub_log.setLevel(logging.ERROR)  # it prints every retry, with pages of addresses
    try:
        rows = datasets.load_dataset(place, **options)
        yield from rows
    except _refusals() as error:
        raise UnreachableError(_one_line(error)) from error
    finally:
        hub_log.setLevel(level)


def _refusals() -> tuple[type[Exception], ...]:
    """Every way in which the hub and its library say no, as for columns that need Pillow."""
    from datasets.exceptions import DatasetsError

    return (OSError, ValueError, RuntimeError, ImportError, DatasetsError)


def current_revision(place: str) -> str | None:
    """Return the commit that the hub now serves of a dataset; None for a local folder."""
    try:
        import huggingface_hub
    except ModuleNotFoundError:  # comes with `datasets`, whose absence is reported with the rows
        return None
    try:
        return huggingface_hub.HfApi().dataset_info(place).sha
    except (OSError, ValueError):  # a folder that stands for the hub has no commit
        return None


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:199] + "…"
