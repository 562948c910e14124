"""A merge in a file of its own: what `cotdistill merge` reads, and what a run folder holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cotdistill.catalogue.packaged import students
from cotdistill.errors import DataError, Fault, FaultsError
from cotdistill.files.yamls import read_yaml
from cotdistill.hosts.model_files import is_local, model_folder
from cotdistill.models.merge.merge import named_models
from cotdistill.models.merge.settings import Merge
from cotdistill.schema import read_shape

_MERGEKIT = {"merge_method": "merge", "base_model": "base", "tokenizer_source": "donor"}


def read_merge(path: Path) -> Merge:
    """Return the merge that a YAML file describes.

    Raises:
        FaultsError: it is not YAML, or has faults; all at once.
    """
    value = read_yaml(path)
    if isinstance(value, dict) and "merge_method" in value:
        ours = ", ".join(f"{key} is {name}" for key, name in _MERGEKIT.items() if key in value)
        remedy = "write models: {NAME: {weight: W, density: D}}; see docs/how-to/merge.md"
        raise FaultsError(Fault(str(path), f"a file of mergekit ({ours} here)", "", remedy))
    return read_shape(Merge, value, str(path))


def folders_of(settings: Merge, path: Path) -> Mapping[str, Path]:
    """Return where each model of a merge lies; a path is relative to the file that names it.

    A model of the hub is downloaded, unless the hub's cache has it.

    Raises:
        DataError: models are missing or cannot be reached; all at once.
    """
    found: dict[str, Path] = {}
    faults: list[Fault] = []
    known = {student.name: student.model for student in students().values()}
    for name in named_models(settings):
        near = path.parent / Path(name).expanduser()
        try:
            if near.is_dir() or is_local(name):
                found[name] = model_folder(str(near.absolute()), f"{path}: {name}")
            else:
                found[name] = model_folder(known.get(name, name), f"{path}: {name}")
        except DataError as error:
            faults += error.faults
    if faults:
        raise DataError(faults)
    return found
