"""Whether the models of a study's merges belong together, as far as they are here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cotdistill.catalogue.packaged import students
from cotdistill.errors import DataError, Fault
from cotdistill.hosts.hub import cached_model
from cotdistill.models.merge.merge import look_at, named_models
from cotdistill.models.merge.settings import Merge
from cotdistill.studies.declared_model import MergedModel, NamedModel, TrainedModel
from cotdistill.studies.study import Study


@dataclass(frozen=True)
class MergesChecked:
    """How many merges were compared, what is wrong with them, and what is worth knowing."""

    compared: int
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]


def check_merges(study: Study, place: str) -> MergesChecked:
    """Compare the models of each merge: shapes, positions, heads, activation, meaning of token ids.

    Models are read from folders and from the hub's cache; nothing is downloaded. A merge of which
    a model is not here, or is made by the study itself, is a note.
    """
    compared = 0
    faults: list[Fault] = []
    notes: list[str] = []
    for name, declared in study.models.items():
        if not isinstance(declared, MergedModel):
            continue
        settings = Merge.model_validate(
            declared.model_dump(include=set(Merge.model_fields), by_alias=True)
        )
        where = f"{place}:models.{name}"
        folders: dict[str, Path] = {}
        absent: list[str] = []
        for model in named_models(settings):
            folder = _folder(study, model)
            if folder is None:
                absent.append(model)
            else:
                folders[model] = folder
        if absent:
            which = ", ".join(absent)
            notes.append(f"the merge '{name}' is compared when it is made: {which} not here yet")
            continue
        try:
            found = look_at(settings, folders, Path(where))
        except DataError as error:
            faults += error.faults
            continue
        compared += 1
        notes += [f"the merge '{name}': {note}" for note in found.notes]
    return MergesChecked(compared, tuple(faults), tuple(notes))


def _folder(study: Study, model: str) -> Path | None:
    """Return where a model of a merge lies; None where it is not here."""
    declared = study.models.get(model)
    if isinstance(declared, TrainedModel | MergedModel):
        return None  # made by the run
    revision = declared.revision if isinstance(declared, NamedModel) else None
    named = declared.model if isinstance(declared, NamedModel) else model
    packaged = students()
    named = packaged[named].model if named in packaged else named
    if Path(named).expanduser().is_dir():
        return Path(named).expanduser()
    try:
        return cached_model(named, revision)
    except (DataError, ModuleNotFoundError):
        return None
