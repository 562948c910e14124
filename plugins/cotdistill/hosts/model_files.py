"""The files of a model: a local folder, or downloaded from the hub into its cache."""

from __future__ import annotations

import logging
from pathlib import Path

from cotdistill.errors import DataError, Fault

_NEEDED = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")


def is_local(name: str) -> bool:
    """Return whether a model is named by its path.

    >>> is_local("./models/mine"), is_local("Qwen/Qwen2.5-14B")
    (True, False)
    """
    return name.startswith(("/", ".", "~")) or Path(name).is_dir()


def model_folder(name: str, place: str, *, revision: str | None = None) -> Path:
    """Return the folder of a model's files: its path, or its place in the hub's cache.

    Raises:
        DataError: there is no such folder, or the hub cannot be reached or has no such model.
    """
    if is_local(name):
        folder = Path(name).expanduser()
        if not folder.is_dir():
            raise DataError(Fault(place, f"{name}: no such folder", "a model folder or hub id"))
        return folder
    try:
        import huggingface_hub
    except ModuleNotFoundError as error:
        wrong = f"{name} is no folder here, and huggingface_hub is not installed"
        remedy = "pip install huggingface_hub, or name a folder"
        raise DataError(Fault(place, wrong, "", remedy)) from error
    hub_log = logging.getLogger("huggingface_hub")
    level = hub_log.level
    hub_log.setLevel(logging.ERROR)  # it prints every retry, with pages of addresses
    try:
        found = huggingface_hub.snapshot_download(
            name, revision=revision, allow_patterns=list(_NEEDED)
        )
        return Path(found)
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        wrong = f"{name} cannot be read from the hub ({reason})"
        remedy = "fetch it first, or name a folder that is here"
        raise DataError(
            Fault(place, wrong, "a reachable hub (HF_ENDPOINT, HF_TOKEN) or a folder", remedy)
        ) from error
    finally:
        hub_log.setLevel(level)
