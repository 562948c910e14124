"""Whether a run folder lies where it was generated, and whether a folder may become one.

Generated files name their run folder in full, because the hosts resolve paths against wherever
they are started. So a copy would train into the folder that it was copied from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from cotdistill.errors import Fault, FaultsError
from cotdistill.files.yamls import dump_yaml, read_yaml
from cotdistill.runfolder.manifest import MANIFEST
from cotdistill.studies.study import read_study

_WRITTEN = ("study.yaml", "Snakefile", "dataset_info.json", "data", "train", "eval", "export")


def moved_fault(root: Path, commands: Iterable[tuple[Sequence[str], str]]) -> Fault | None:
    """Return a fault if commands name their files in another folder than `root`.

    Shapes: commands [(words of a command, its file relative to the run folder)].

    >>> words = ["llamafactory-cli", "train", "/old/train/a.yaml"]
    >>> moved_fault(Path("/old"), [(words, "train/a.yaml")]) is None
    True
    >>> moved_fault(Path("/new"), [(words, "train/a.yaml")]).wrong
    'was moved or copied; its files name /old'
    """
    for words, file in commands:
        for word in words:
            if word.endswith(f"/{file}") and word != str(root / file):
                wrong = f"was moved or copied; its files name {word.removesuffix(f'/{file}')}"
                remedy = f"generate it again: cotdistill generate '{root}/study.yaml' -o '{root}'"
                return Fault(str(root), wrong, "", remedy)
    return None


def taken_fault(root: Path, study: str) -> Fault | None:
    """Return a fault if generating a study into a folder would replace files of somebody else.

    A folder with a manifest is a run folder, and so is one that has nothing yet but the resolved
    study and what follows it: its first generation was interrupted. It belongs to the study that it
    names; the runs of another study would take the place of its own.
    """
    there = [name for name in _WRITTEN if (root / name).exists()]
    if not there or (root / MANIFEST).is_file() or _is_resolved(root / "study.yaml"):
        return _other_study_fault(root, study)
    wrong = f"is not a run folder and holds {', '.join(there)} already"
    return Fault(str(root), wrong, "a new or empty folder", "name another with -o")


def _other_study_fault(root: Path, study: str) -> Fault | None:
    try:
        owner = read_yaml(root / "study.yaml").get("name")
    except (FaultsError, AttributeError):  # a broken one is fixed by generating again
        return None
    if owner in (None, study):
        return None
    wrong = f"is the run folder of the study '{owner}', and this study is '{study}'"
    remedy = f"name another with -o; if the study was renamed, --set name={owner} keeps its runs"
    return Fault(str(root), wrong, "a new folder, or that of the same study", remedy)


def _is_resolved(path: Path) -> bool:
    """Whether a file is a study as `generate` writes it, to the byte."""
    try:
        study = read_study(read_yaml(path), str(path))
    except FaultsError:
        return False
    return path.read_bytes() == dump_yaml(study.model_dump(mode="json")).encode()
