"""Rows of a benchmark as the Hugging Face hub, or a folder of its shape, holds them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cotdistill.declare.benchmark import Hub


class UnreachableError(Exception):
    """The hub does not give the rows; the text is one line, and says why."""


def hub_rows(hub: Hub, split: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of one split, all configurations after one another, at the pinned revision.

    Raises:
        UnreachableError: no connection, no such repository, revision, configuration or split.
    """
    import datasets  # type: ignore[import-untyped]

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
