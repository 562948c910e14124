"""A hub dataset in the local cache of `datasets`, as loading it from the hub leaves it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def cache_rows(
    cache: Path,
    place: str,
    rows: Sequence[dict[str, Any]],
    subset: str = "default",
    features: dict[str, Any] | None = None,
) -> None:
    """Prepare the rows of a repository of JSON lines in a folder of the library's cache."""
    from datasets import Features
    from datasets.data_files import DataFilesDict, DataFilesList
    from datasets.load import configure_builder_class
    from datasets.packaged_modules.json.json import Json, JsonConfig
    from datasets.utils import disable_progress_bars, enable_progress_bars

    cache.mkdir(parents=True, exist_ok=True)
    file = cache / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    files = DataFilesDict({"train": DataFilesList([str(file)], [("made here",)])})
    name = place.rpartition("/")[2]
    known = None if features is None else Features(features)
    made = configure_builder_class(
        Json,
        [JsonConfig(name=subset, data_files=files, features=known)],
        subset,
        dataset_name=name,
    )
    builder = made(
        cache_dir=str(cache), dataset_name=name, repo_id=place, config_name=subset, hash="0" * 40
    )
    disable_progress_bars()
    try:
        builder.download_and_prepare()
    finally:
        enable_progress_bars()
