"""Which commits of a hub's models and datasets a training used, read from the hub's local cache.

The hub's library keeps, for every branch or tag that it was asked for, the commit that it got. So
what an unpinned study was made from is known after the training, without asking the hub again.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Literal

from cotdistill.files.yamls import read_yaml

_COMMIT = re.compile(r"[0-9a-f]{40}")


def cached_commit(
    kind: Literal["models", "datasets"], name: str, revision: str | None = None
) -> str | None:
    """Return the commit that the local cache has of a model or dataset; None where it has none.

    `revision` is a branch, a tag or a commit; None is the default branch.
    """
    if revision and _COMMIT.fullmatch(revision):
        return revision
    reference = _cache() / f"{kind}--{name.replace('/', '--')}" / "refs" / (revision or "main")
    try:
        text = reference.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return text if _COMMIT.fullmatch(text) else None


def commits_used(train: Path, registry: Path) -> dict[str, str]:
    """Return the commits of the hub model and datasets that a training file names, where known.

    `registry` is the `dataset_info.json` in which its datasets are registered.

    Raises:
        FaultsError: the training file cannot be read.
    """
    arguments = read_yaml(train)
    model, revision = arguments.get("model_name_or_path"), arguments.get("model_revision")
    found: dict[str, str | None] = {}
    if isinstance(model, str) and not Path(model).is_dir():
        found[model] = cached_commit("models", model, revision)
    try:
        entries = json.loads(registry.read_text(encoding="utf-8"))
        wanted = str(arguments.get("dataset")).split(",")
        urls = [entries.get(name.strip(), {}).get("hf_hub_url") for name in wanted]
    except (OSError, ValueError, AttributeError):
        urls = []
    for url in urls:
        if isinstance(url, str):
            found[url] = cached_commit("datasets", url)
    return {name: commit for name, commit in found.items() if commit}


def _cache() -> Path:
    """Return where the hub's library keeps its files, as it finds the place itself."""
    if chosen := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(chosen).expanduser()
    home = os.environ.get("HF_HOME")
    base = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return (Path(home) if home else Path(base) / "huggingface").expanduser() / "hub"
