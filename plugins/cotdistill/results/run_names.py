"""What to call runs in a table: the part of the path that tells them apart and means something."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cotdistill.hosts.lm_eval.samples import SampleFile


def short_names(places: Sequence[Path]) -> list[str]:
    """Return what tells places apart: the last part of the path that differs among them.

    >>> short_names([Path("scores/a/model"), Path("scores/b/model")])
    ['a', 'b']
    """
    parts = [list(place.parts) for place in places]
    while min(map(len, parts)) > 1 and len({path[-1] for path in parts}) < len(parts):
        if len({tuple(path[:-1]) for path in parts}) == 1:
            break
        parts = [path[:-1] for path in parts]
    return [path[-1] for path in parts]


def run_names(files: Sequence[SampleFile]) -> list[str]:
    """Return a name for the run of each samples file.

    lm-eval names the folder of the samples after the model, a whole path with `__` for every
    slash; the folder around it is named by whoever ran it, and serves where it tells runs apart.

    >>> file = SampleFile(Path("scores/level1/__tmp__model/samples_t.jsonl"), "t", "")
    >>> run_names([file])
    ['level1']
    """
    folders = list(dict.fromkeys(file.path.resolve().parent for file in files))
    outer = {folder: folder.parent.name for folder in folders}
    apart = len(set(outer.values())) == len(folders)
    return [
        outer[folder] if apart and "__" in folder.name else folder.name
        for folder in (file.path.resolve().parent for file in files)
    ]


def output_folders(files: Sequence[SampleFile], out: Path | None) -> list[Path]:
    """Return where the results of each samples file go: next to it, or in `out`, a folder a run.

    >>> files = [SampleFile(Path(f"{run}/model/samples_t.jsonl"), "t", "") for run in "ab"]
    >>> [str(folder) for folder in output_folders(files, Path("mine"))]
    ['mine/model', 'mine/model-2']
    """
    if out is None:
        return [file.path.parent for file in files]
    named: dict[Path, str] = {}
    for file, name in zip(files, run_names(files), strict=True):
        if file.path.parent not in named:
            taken, number, free = set(named.values()), 1, name
            while free in taken:
                number += 1
                free = f"{name}-{number}"
            named[file.path.parent] = free
    return [out / named[file.path.parent] for file in files]
