"""Rows of a dataset on the hub, streamed; the only room that knows the `datasets` library."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cotdistill.declare.benchmark import Hub
from cotdistill.declare.dataset import Registration
from cotdistill.errors import DataError, Fault


def hub_rows(registration: Registration) -> Iterator[dict[str, Any]]:
    """Yield the rows of a registered hub dataset (or of a local folder named in its place).

    Raises:
        DataError: the library is missing, or the hub or the dataset cannot be reached.
    """
    place = registration.hf_hub_url or "?"
    try:
        import datasets
    except ImportError as error:
        remedy = "pip install 'cotdistill[train]'"
        raise DataError(Fault(place, "needs the datasets library", "", remedy)) from error
    try:
        rows = datasets.load_dataset(
            place,
            name=registration.subset,
            split=registration.split or "train",
            data_dir=registration.folder,
            streaming=True,
        )
        yield from rows
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            Fault(
                place,
                f"cannot be read from the hub ({reason})",
                "a reachable hub (HF_ENDPOINT, HF_TOKEN) or a local copy",
                "fetch it first, or use an arm with 'file'",
            )
        ) from error


class UnreachableError(Exception):
    """The hub does not give the rows; the text is one line, and says why."""


def benchmark_rows(hub: Hub, split: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of one split, all configurations after one another, at the pinned revision.

    Raises:
        UnreachableError: no connection, no such repository, revision, configuration or split.
    """
    import datasets

    for config in hub.configs:
        try:
            rows = datasets.load_dataset(
                hub.id, config, split=hub.splits[split], revision=hub.revision
            )
        except (OSError, ValueError, RuntimeError) as error:  # every way in which the hub says no
            raise UnreachableError(_one_line(error)) from error
        yield from rows


def revision_of(hub: Hub) -> str | None:
    """Return the commit that the rows come from: the pinned one, else what the hub now serves."""
    if hub.revision:
        return hub.revision
    import huggingface_hub

    try:
        return huggingface_hub.HfApi().dataset_info(hub.id).sha
    except (OSError, ValueError):  # a folder that stands for the hub has no commit
        return None


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:199] + "…"
