"""Where the packaged folders are: inside an installed wheel, or at the top of a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from cotdistill.errors import BundleError, Fault

Folder = Literal["dataset_info", "task_configs", "templates", "studies"]
FOLDERS: tuple[Folder, ...] = get_args(Folder)

_WHEEL = Path(__file__).resolve().parents[1] / "bundle"
_CHECKOUT = Path(__file__).resolve().parents[3]


def bundle_folder(folder: Folder) -> Path:
    """Return the real directory of one packaged folder; both hosts want real directories.

    Raises:
        BundleError: the folder is neither in the package nor in a checkout around it.

    >>> bundle_folder("task_configs").name
    'task_configs'
    """
    for root in (_WHEEL, _CHECKOUT):
        if (root / folder).is_dir():
            return root / folder
    raise BundleError(
        Fault(f"{folder}/", f"not in {_WHEEL} nor in {_CHECKOUT}", "", "reinstall cotdistill")
    )


def bundle_files(folder: Folder, pattern: str) -> list[Path]:
    """Return the packaged files of one folder that match a glob, sorted by path."""
    return sorted(path for path in bundle_folder(folder).glob(pattern) if path.is_file())
