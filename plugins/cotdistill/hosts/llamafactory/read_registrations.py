"""What LLaMA-Factory's own parser makes of entries of a `dataset_info.json`, asked there."""

from __future__ import annotations

import dataclasses
from typing import Any


def answer(question: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the entries named in `names` of the registry in `folder`, as the host reads them."""
    from llamafactory.data.parser import get_dataset_list

    names = question["names"]
    entries = get_dataset_list(names, question["folder"])
    return {name: dataclasses.asdict(one) for name, one in zip(names, entries, strict=True)}
