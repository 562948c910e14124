"""Where packaged files are: in the bundles of users and of other packages, then in our own.

A bundle is a folder that holds any of `dataset_info/`, `task_configs/`, `templates/` and
`studies/`, laid out as ours are. They are looked up in this order:

1. the folders of `$COTDISTILL_PATH` (a list as in `$PATH`; `--bundle DIR` adds to its front),
2. installed packages that declare an entry point of the group `cotdistill.bundles`,
3. our own, inside the installed wheel or at the top of a checkout.

The order decides what is listed first and nothing else: a name that two bundles have is a fault
that names both files. A run folder records its bundles, and `only_bundles` keeps to them.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from cotdistill.errors import BundleError, Fault

Folder = Literal["dataset_info", "task_configs", "templates", "studies"]
FOLDERS: tuple[Folder, ...] = get_args(Folder)
SEARCH_PATH = "COTDISTILL_PATH"
RECORDED = "COTDISTILL_BUNDLES"
"""Set while a study or a run folder is worked on: its bundles, whatever else is installed."""

ENTRY_POINTS = "cotdistill.bundles"

_WHEEL = Path(__file__).resolve().parents[1] / "bundle"
_CHECKOUT = Path(__file__).resolve().parents[3]
_HOLDS = {
    "dataset_info": ("*.json", "benchmarks/*.yaml"),
    "task_configs": ("**/*.yaml",),
    "templates": ("students.yaml", "*/*.j2", "deepspeed/*.json", "accelerate/*.yaml"),
    "studies": ("*.yaml",),
}


@dataclass(frozen=True)
class Bundle:
    """One folder of packaged files; `origin` says whose it is, and is empty for our own."""

    root: Path
    origin: str


def bundles() -> tuple[Bundle, ...]:
    """Return all bundles in the order in which they are looked up, our own last.

    Raises:
        BundleError: a folder of the search path, or the package of an entry point, is not a bundle.
    """
    here = os.getcwd()  # noqa: PTH109 -- asked for every template, and only a key of a cache
    return _bundles(os.environ.get(RECORDED), os.environ.get(SEARCH_PATH, ""), here)


def bundle_folder(folder: Folder) -> Path:
    """Return our own directory of packaged files; both hosts want real directories.

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


def bundle_folders(folder: Folder) -> list[Path]:
    """Return the directories of one kind in all bundles, our own last."""
    paths = [bundle.root / folder for bundle in bundles()]
    return [path for path in paths if path.is_dir()]


def bundle_files(folder: Folder, pattern: str) -> list[Path]:
    """Return the files of all bundles that match a glob: bundle by bundle, sorted by path."""
    found = [sorted(parent.glob(pattern)) for parent in bundle_folders(folder)]
    return [path for paths in found for path in paths if path.is_file()]


def bundle_file(folder: Folder, name: str) -> Path:
    """Return the one file of a name that the bundles have.

    Raises:
        BundleError: no bundle has it, or more than one has.

    >>> bundle_file("templates", "train/full.yaml.j2").name
    'full.yaml.j2'
    """
    found = [path for parent in bundle_folders(folder) if (path := parent / name).is_file()]
    if not found:
        raise BundleError(Fault(f"{folder}/{name}", "no such file in any bundle"))
    return by_name("the file", [(name, path) for path in found])[name]


def by_name(what: str, found: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    """Return files by name.

    Raises:
        BundleError: for every name that two files have; both are named.

    >>> by_name("study", [("mine", Path("a/mine.yaml")), ("yours", Path("b/yours.yaml"))])["mine"]
    PosixPath('a/mine.yaml')
    """
    files: dict[str, Path] = {}
    faults = []
    for name, path in found:
        first = files.setdefault(name, path)
        if first != path:
            faults.append(clash(f"{what} '{name}'", first, path))
    if faults:
        raise BundleError(faults)
    return files


def clash(what: str, first: Path, second: Path) -> Fault:
    """Return the fault that two files declare what may be there once."""
    remedy = "rename one of them, or leave its bundle out"
    return Fault(str(first), f"{what} is also in {second}", "a name that one bundle has", remedy)


def origin_of(path: Path) -> str:
    """Return whose bundle a file is in, empty for our own."""
    return next((b.origin for b in bundles() if path.is_relative_to(b.root)), "")


def bundle_around(study: Path) -> Path | None:
    """Return the folder of a study file if it is a bundle that has more than studies in it.

    A file in a folder called `studies` belongs to the bundle around that folder. A checkout of
    cotdistill next to an installed one is not taken for somebody's bundle.
    """
    folder = study.resolve().parent
    for root in (folder, folder.parent) if folder.name == "studies" else (folder,):
        ours = root in (_WHEEL, _CHECKOUT) or (root / "plugins" / "cotdistill").is_dir()
        if not ours and set(parts_of(root)) - {"studies"}:
            return root
    return None


def parts_of(root: Path) -> list[Folder]:
    """Return which of a bundle's folders are in a folder, with something of ours in them."""
    return [
        folder
        for folder in FOLDERS
        if any(True for pattern in _HOLDS[folder] for _ in (root / folder).glob(pattern))
    ]


def bundle_fault(root: Path, place: str) -> Fault | None:
    """Return why a folder is not a bundle, or None if it is one."""
    expected = "a folder with dataset_info/, task_configs/, templates/ or studies/"
    if not root.is_dir():
        return Fault(place, f"no such folder {root}", expected)
    if not parts_of(root):
        return Fault(place, f"{root} is not a bundle", expected)
    if os.pathsep in str(root):
        wrong = f"{root} holds '{os.pathsep}', which separates folders in ${SEARCH_PATH}"
        return Fault(place, wrong, "a folder without it", "rename the folder")
    return None


@contextlib.contextmanager
def only_bundles(roots: Sequence[str | Path]) -> Iterator[None]:
    """Look packaged files up in these bundles and our own only, as do programs started inside."""
    with _variable(RECORDED, os.pathsep.join(map(str, roots))):
        yield


@contextlib.contextmanager
def more_bundles(roots: Sequence[str | Path]) -> Iterator[None]:
    """Look packaged files up in these bundles first.

    Raises:
        BundleError: one of the folders is not a bundle.
    """
    faults = [bundle_fault(Path(root).expanduser(), f"--bundle {root}") for root in roots]
    if any(faults):
        raise BundleError(fault for fault in faults if fault)
    given = [str(Path(root).expanduser().absolute()) for root in roots]
    before = os.environ.get(SEARCH_PATH, "")
    with _variable(SEARCH_PATH, os.pathsep.join(filter(None, [*given, before]))):
        yield


@contextlib.contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before


@functools.cache
def _bundles(recorded: str | None, added: str, here: str) -> tuple[Bundle, ...]:
    found: dict[Path, Bundle] = {}
    faults: list[Fault] = []
    place = f"${SEARCH_PATH}" if recorded is None else "the bundles of this study"
    for name in filter(None, (added if recorded is None else recorded).split(os.pathsep)):
        root = Path(here, Path(name).expanduser()).resolve()
        if fault := bundle_fault(root, place):
            faults.append(fault)
        else:
            found.setdefault(root, Bundle(root, str(root)))
    if recorded is None:
        try:
            for bundle in _installed():
                found.setdefault(bundle.root, bundle)
        except BundleError as error:
            faults += error.faults
    if faults:
        raise BundleError(faults)
    ours = bundle_folder("task_configs").parent
    found.pop(ours, None)
    return (*found.values(), Bundle(ours, ""))


@functools.cache
def _installed() -> tuple[Bundle, ...]:
    """Return the bundles of installed packages; no code of theirs is imported."""
    import importlib.metadata  # 15 ms that the overview of verbs does without
    import importlib.util

    found: list[Bundle] = []
    faults: list[Fault] = []
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        package = point.dist.name if point.dist is not None else point.module
        top, *inside = point.value.split(".")
        spec = importlib.util.find_spec(top)
        if spec is None or not spec.submodule_search_locations:
            wrong = f"its entry point {point.name} = {point.value} names no package"
            faults.append(Fault(f"package {package}", wrong, "", "reinstall or remove it"))
            continue
        root = Path(next(iter(spec.submodule_search_locations)), *inside).resolve()
        if fault := bundle_fault(root, f"package {package}"):
            faults.append(fault)
        else:
            found.append(Bundle(root, f"package {package}"))
    if faults:
        raise BundleError(faults)
    return tuple(sorted(found, key=lambda bundle: bundle.origin))
