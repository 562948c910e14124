"""One folder of tasks, and one of registrations, for hosts that take only one."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from cotdistill.catalogue.packaged import HUB_DATASETS, read_registrations
from cotdistill.files.bundle import Folder, bundle_folders


def host_folders(folder: Folder) -> list[Path]:
    """Return the folders in which a part of all bundles is found.

    Where more bundles than ours have tasks or registrations, that is one folder in the user's
    cache: lm-eval's `--include_path` and LLaMA-Factory's `dataset_dir` take no more. It holds links
    to all task files, or one `dataset_info.json` with all registrations.
    """
    folders = bundle_folders(folder)
    fill = {"task_configs": _link_tasks, "dataset_info": _write_registrations}.get(folder)
    if len(folders) < 2 or fill is None:
        return folders
    return [_made(folder, folders, fill)]


def _made(folder: Folder, folders: list[Path], fill: Callable[[list[Path], Path], None]) -> Path:
    """Make a folder whose name is a hash of what it is made from, unless it exists."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cotdistill"
    files = [path for each in folders for path in sorted(each.rglob("*")) if path.is_file()]
    stamps = [f"{path} {path.stat().st_mtime_ns}" for path in files]
    digest = hashlib.sha256("\n".join(stamps).encode()).hexdigest()[:16]
    made = cache / "bundles" / digest / folder
    if made.is_dir():
        return made
    made.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=made.parent))
    fill(folders, draft)
    try:
        draft.rename(made)
    except OSError:  # another process was faster
        shutil.rmtree(draft)
    return made


def _link_tasks(folders: list[Path], made: Path) -> None:
    """Link each task file; lm-eval follows the link before it looks for includes and hooks."""
    for number, each in enumerate(folders):
        for path in sorted(each.rglob("*.yaml")):
            link = made / f"{number}-{each.parent.name}" / path.relative_to(each)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)


def _write_registrations(folders: list[Path], made: Path) -> None:
    files = [path for each in folders if (path := each / HUB_DATASETS).is_file()]
    entries = {n: e.as_entry() for path in files for n, e in read_registrations(path).items()}
    text = json.dumps(entries, ensure_ascii=False, indent=2) + "\n"
    (made / HUB_DATASETS).write_text(text, encoding="utf-8")
