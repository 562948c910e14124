"""Merging: models of a study whose weights are computed from those of others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cotdistill.errors import Fault, StudyError
from cotdistill.files.atomic import sha256_of_text
from cotdistill.files.yamls import dump_yaml
from cotdistill.runfolder.job import Job, JobId
from cotdistill.runfolder.stages.stage import Declared, Stage, StudyFiles

if TYPE_CHECKING:
    from cotdistill.studies.declared_model import MergedModel
    from cotdistill.studies.study import Study


def has_merges(study: Study) -> bool:
    """Return whether a study merges models."""
    return any(type(model).__name__ == "MergedModel" for model in study.models.values())


def _jobs(files: StudyFiles) -> Iterator[Declared]:
    from cotdistill.studies.declared_model import MergedModel, merged_folder

    study = files.resolved.study
    engine = study.environments.get("merge", "").strip()
    for name, declared in study.models.items():
        if not isinstance(declared, MergedModel):
            continue
        text, needs = _description(files, name, declared)
        file, output = f"merge/{name}.yaml", merged_folder(name)
        words = ["cotdistill", "merge", file, "-o", output]
        words += ["--engine", engine] if engine else []
        yield Declared(
            Job(
                "merge", name, command=tuple(words), file=file, sha256=sha256_of_text(text),
                declared=engine or None, output=output, needs=needs,
            ),
            text,
        )  # fmt: skip


def _description(
    files: StudyFiles, name: str, declared: MergedModel
) -> tuple[str, tuple[JobId, ...]]:
    """Return the file of a merge with every model by its path or hub id, and what it waits for."""
    from cotdistill.models.merge.settings import Merge

    needs: dict[JobId, None] = {}
    places: dict[str, str] = {}
    where = f"models.{name}"
    for model in (declared.base, *declared.models, declared.donor):
        if model is not None and model not in places:
            places[model], of_model = _place(files, model, where)
            needs.update(dict.fromkeys(of_model))
    values = declared.model_dump(mode="json", include=set(Merge.model_fields), exclude_none=True)
    values["models"] = {places[model]: share for model, share in values["models"].items()}
    values |= {key: places[values[key]] for key in ("base", "donor") if key in values}
    head = (
        f"# The model '{name}' of the study; by hand: cotdistill merge merge/{name}.yaml -o DIR\n"
    )
    return head + dump_yaml(values), tuple(needs)


def _place(files: StudyFiles, model: str, where: str) -> tuple[str, tuple[JobId, ...]]:
    """Return where a model of a merge lies, and the jobs that make it."""
    from cotdistill.catalogue.packaged import students
    from cotdistill.runfolder.stages.ask import trained_weights
    from cotdistill.studies.declared_model import (
        MergedModel,
        NamedModel,
        TrainedModel,
        merged_folder,
    )

    declared = files.resolved.study.models.get(model)
    if isinstance(declared, TrainedModel):
        folder, need = trained_weights(files, declared, where)
        return f"{files.root}/{folder}", (need,)
    if isinstance(declared, MergedModel):
        return f"{files.root}/{merged_folder(model)}", (("merge", model),)
    if declared is not None and not isinstance(declared, NamedModel):
        wrong = f"'{model}' has no weights that could be merged"
        raise StudyError(Fault(where, wrong, "a model of the hub, a folder, a run, a merge"))
    named = declared.model if declared is not None else model
    packaged = students()
    found = packaged[named].model if named in packaged else named
    return (str(Path(found).resolve()) if Path(found).is_dir() else found), ()


def _fault(output: Path) -> str:
    from cotdistill.models.merge.merge import RECORD

    return "" if (output / RECORD).is_file() else f"no {RECORD} was written"


MERGE = Stage(
    name="merge",
    about="merge models into one",
    program="cotdistill",
    extra="",
    remakes=False,
    jobs=_jobs,
    is_in=has_merges,
    fault=_fault,
)
