"""A run folder becomes rows: every run × task with its score, interval, lengths, time and loss.

A score whose training did nothing is refused, not shown; a run that has not finished is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from cotdistill.distill.paths import SUMMARY
from cotdistill.errors import DataError, Fault
from cotdistill.files.json_file import read_object
from cotdistill.hosts.llamafactory.outputs import read_training
from cotdistill.results.doubts import other_model, shares_start
from cotdistill.results.evaluation import KeepSample, evaluation_of
from cotdistill.results.run_names import short_names
from cotdistill.results.run_results import SKIPPED, Evaluated, Naming, Results, RunResult
from cotdistill.results.verdict_files import VerdictSource
from cotdistill.runfolder.job import marker_of
from cotdistill.runfolder.manifest import ManifestRun, read_manifest

_OF_DISTILLATION = ("ce", "kd", "kd_share", "kd_agreement")
"""The numbers of a training with a teacher that a report shows; None where it has none."""


def collect(
    folder: Path,
    source: VerdictSource = "run",
    keep: KeepSample | None = None,
    naming: Naming | None = None,
) -> Results:
    """Read a run folder's manifest, trainings and scores; each samples file is opened once.

    `source` takes the scores from what `rescore` or `judge` made instead of what a run logged.
    `keep` is called with every question of every run on the way. `naming` is how to call runs and
    arms next to those of other folders.

    Raises:
        DataError: there is no manifest, files in the folder cannot be read or hold no scores, or
            a run was never graded as `source` says; all runs at once.
    """
    naming = naming or Naming()
    runs: list[RunResult] = []
    faults: list[Fault] = []
    for run in read_manifest(folder, for_results=True):
        try:
            runs.append(_run_result(folder, run, source, keep, naming))
        except DataError as error:
            faults += error.faults
    if faults:
        raise DataError(faults)
    return Results((folder,), tuple(runs), source, (naming,))


def collect_all(
    folders: Sequence[Path], source: VerdictSource = "run", keep: KeepSample | None = None
) -> Results:
    """Read several run folders as one; what two of them call alike is named by its folder too.

    Nothing is pooled over folders: an arm that two folders have is two arms.

    Raises:
        DataError: as `collect`, for the first folder that cannot be read.
    """
    if len(folders) == 1:
        return collect(folders[0], source, keep)
    counted: Counter[tuple[str, str, str]] = Counter()
    for folder in folders:
        there = read_manifest(folder, for_results=True)
        counted.update({(run.student, run.arm, run.recipe) for run in there})
    in_several = frozenset(arm for (_, arm, _), count in counted.items() if count > 1)
    names = short_names([folder.resolve() for folder in folders])
    if len(set(names)) < len(names):
        wrong = f"{', '.join(map(str, folders))}: folders of one name"
        raise DataError(Fault("report", wrong, "each run folder once"))
    found = [
        collect(folder, source, keep, Naming(name, in_several))
        for folder, name in zip(folders, names, strict=True)
    ]
    runs = tuple(run for one in found for run in one.runs)
    return Results(tuple(folders), runs, source, tuple(one.namings[0] for one in found))


def _run_result(
    folder: Path,
    run: ManifestRun,
    source: VerdictSource,
    keep: KeepSample | None,
    naming: Naming,
) -> RunResult:
    trained = run.outputs.train
    name = naming.run(run.run)
    training = read_training(folder / trained) if trained else None
    evaluated = Evaluated()
    notes = _notes_of_training(folder, Path(trained).name) if trained else {}
    skipped = notes.get(SKIPPED, "") if training is None else ""
    if skipped:
        state = f"{SKIPPED}: {skipped}"
    elif trained and training is None:
        state = "training not finished"
    elif training is not None and training.trained_nothing:
        state = (
            f"refused: training did nothing ({training.trained_nothing}); remove "
            f"{trained} and run it again"
        )
    else:
        evaluated = evaluation_of(
            folder / run.outputs.evaluate,
            folder / trained if trained else None,
            source,
            partial(keep, name) if keep else None,
        )
        state = "finished" if evaluated.scores else "not scored"
        if doubt := other_model(folder / run.files.eval, evaluated.logged):
            evaluated = replace(evaluated, notes=(*evaluated.notes, doubt))
    return RunResult(
        run=name,
        student=run.student,
        arm=naming.arm(run.arm) + (f" (step {run.step})" if run.step is not None else ""),
        recipe=run.recipe,
        seed=run.seed,
        state=state,
        training=training,
        evaluated=evaluated,
        folder=folder,
        factors=run.factors,
        trained=run.is_trained,
        shares_start=shares_start(folder, run),
        asked=run.tasks,
        config=folder / run.files.train if run.files.train else None,
        data=folder / run.files.data if run.files.data else None,
        distilled=_distilled(folder / trained) if trained else {},
        trained_with={str(one): str(what) for one, what in notes.get("versions", {}).items()},
    )


def _distilled(output: Path) -> dict[str, float]:
    """Return the numbers that a training with a teacher left, nothing of one without."""
    path = output / SUMMARY
    if not path.is_file():
        return {}
    remedy = "restore it, or remove it to report without these numbers"
    found = read_object(path, "the summary of a training with a teacher", remedy)
    faults = [
        Fault(f"{path}: {name}", f"{found[name]!r}"[:60], "a number", remedy)
        for name in _OF_DISTILLATION
        if found.get(name) is not None and not _is_number(found[name])
    ]
    if faults:
        raise DataError(faults)
    return {name: float(found[name]) for name in _OF_DISTILLATION if found.get(name) is not None}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _notes_of_training(folder: Path, run: str) -> Mapping[str, Any]:
    """Return what the record of a training notes; nothing where `cotdistill run` made none."""
    path = folder / marker_of(("train", run))
    if not path.is_file():
        return {}
    remedy = "remove it: cotdistill run then trains this run again"
    notes = read_object(path, "the record of a training", remedy).get("notes", {})
    if not isinstance(notes, dict) or not isinstance(notes.get("versions", {}), dict):
        wrong = "notes are not those of a training"
        raise DataError(Fault(str(path), wrong, "an object, with its versions in one", remedy))
    return dict(notes)
