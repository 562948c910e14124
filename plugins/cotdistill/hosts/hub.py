"""Rows of a dataset on the hub, streamed; the only room that knows the `datasets` library."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
