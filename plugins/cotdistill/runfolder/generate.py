"""From a study to a run folder: every file of every run, the same bytes for the same study.

What a run produced is never touched. Files are rewritten only where their bytes change, so that
`run` repeats only what depends on a change. The manifest comes last: a folder whose manifest is
there is complete.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cotdistill.arms.build import (
    arm_notes,
    check_arm,
    is_current,
    known_rows,
    write_arm,
)
from cotdistill.arms.rows import COLUMNS
from cotdistill.errors import DataError, Fault, FaultsError, StudyError
from cotdistill.files.atomic import write_if_changed, write_texts_if_changed
from cotdistill.files.bundle import bundle_file, only_bundles
from cotdistill.files.inputs import refuse_overwriting
from cotdistill.files.ledger import ledger_path
from cotdistill.files.yamls import dump_yaml
from cotdistill.runfolder.config_files import (
    RunConfigs,
    RunFiles,
)
from cotdistill.runfolder.dev_rows import registered_dev_rows
from cotdistill.runfolder.distillation import distillation_faults, distillation_notes
from cotdistill.runfolder.job import JOBS, JobId, in_order, jobs_text
from cotdistill.runfolder.kept import (
    KeptFiles,
    changed_since,
    kept_files,
    unprepared_dev_faults,
    write_dev_tasks,
    write_kept,
)
from cotdistill.runfolder.layout import Layout, layout_of
from cotdistill.runfolder.manifest import (
    MANIFEST,
    Files,
    Hashes,
    ManifestRun,
    Outputs,
    read_manifest,
    write_manifest,
)
from cotdistill.runfolder.moved import taken_fault
from cotdistill.runfolder.rounds import write_questions
from cotdistill.runfolder.run_lock import not_while_it_runs
from cotdistill.runfolder.stages import Declared, StudyFiles, declared_jobs, snakefile_text
from cotdistill.runfolder.stages.prepare import student_digest
from cotdistill.studies.load import faults_with_lines, file_of, load_study, version_note
from cotdistill.studies.notes import study_notes
from cotdistill.studies.resolve import Resolved, resolve
from cotdistill.studies.resolved_arm import ResolvedArm
from cotdistill.studies.runs import Run, student_folder
from cotdistill.studies.study import Study


@dataclass(frozen=True)
class Generated:
    """What a generation did: run names by what became of them, and where."""

    folder: Path
    study: str
    new: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    dropped: tuple[str, ...]
    stale: tuple[str, ...]  # outputs that are there and were made from older files
    to_prepare: tuple[str, ...]  # arms whose rows `run` will fetch
    notes: tuple[str, ...]  # what should be known of the arms' rows
    unequal: str  # how the arms differ in compute, where a recipe counts epochs; else nothing
    warnings: tuple[str, ...]  # what is allowed, and most likely a mistake


def generate(name_or_path: str, folder: Path | None = None, sets: Sequence[str] = ()) -> Generated:
    """Write the run folder of a study and say what changed.

    Raises:
        StudyError: every fault of the study; nothing is written.
        DataError: every fault of the arms' rows; nothing is written.
        MisuseError: an arm or the study is read from a file that would be replaced or removed.
        FaultsError: LLaMA-Factory would refuse a training file, or the folder cannot be written,
            holds files that are not ours, or a `cotdistill run` works in it.
    """
    study, place = load_study(name_or_path, sets)
    root = (folder or Path("runs") / study.name).resolve()
    with only_bundles(study.bundles):
        with faults_with_lines(file_of(name_or_path), place):
            checked = check_study_files(study, place, root)
        if taken := taken_fault(root, study.name):
            raise FaultsError(taken)
        _refuse_overwriting(checked, Path(place), root)
        with not_while_it_runs(root):
            before = _manifest_before(root)
            note = version_note(name_or_path)
            notes = [*([note] if note else []), *changed_since(root, checked.kept)]
            manifest = _write(checked, root)
            return _difference(checked, root, before, manifest, notes)


@dataclass(frozen=True)
class CheckedStudy:
    """A study whose every name was found, and the files of its runs, before they are written."""

    resolved: Resolved
    files: tuple[tuple[Run, Layout, RunFiles], ...]
    jobs: tuple[Declared, ...]  # each after those that it waits for
    kept: KeptFiles
    notes: tuple[str, ...]  # not faults, but worth knowing

    @property
    def trained_arms(self) -> list[ResolvedArm]:
        """The arms that are trained on, in file order."""
        return [self.resolved.arms[name] for name in self.resolved.study.trained_arms()]


def check_study_files(study: Study, place: str, root: Path) -> CheckedStudy:
    """Return the files of every run of a study after all that can be checked; writes nothing.

    Raises:
        FaultsError: all faults of names, batches, rows and training arguments.
    """
    resolved = resolve(study, place)
    notes, row_faults = _check_rows(resolved, root)
    files: list[tuple[Run, Layout, RunFiles]] = []
    faults = [*distillation_faults(resolved, place), *unprepared_dev_faults(study, resolved.sets)]
    if row_faults or faults:
        raise StudyError([*faults, *row_faults]) if faults else DataError(row_faults)
    configs = RunConfigs(resolved)
    for run in resolved.runs:
        layout = layout_of(root, run)
        made = configs.files(run, layout)
        faults += _once(configs.argument_faults(run, made, layout, place), faults)
        files.append((run, layout, made))
    if faults:
        raise FaultsError(faults)
    kept = kept_files(resolved.study, resolved.sets)
    declared = declared_jobs(StudyFiles(resolved, root, tuple(files), kept))
    by_id = {one.job.id: one for one in declared}
    jobs = tuple(by_id[job.id] for job in in_order(one.job for one in declared))
    notes += distillation_notes(resolved)
    return CheckedStudy(resolved, tuple(files), jobs, kept, tuple(notes))


def _refuse_overwriting(checked: CheckedStudy, study_file: Path, root: Path) -> None:
    """Refuse arms and studies that are made from files which the generation replaces or removes."""
    arms = checked.resolved.arms.values()
    read = [source.path for arm in arms for source in arm.sources if source.path]
    read += [path for arm in arms for path in arm.gold_files]
    if study_file.is_file() and study_file.resolve() != root / "study.yaml":
        read.append(study_file)  # the folder's own resolved study may be generated again
    names = ("study.yaml", MANIFEST, JOBS, "dataset_info.json", "Snakefile")
    outputs = [root / name for name in names]
    for arm in arms:
        rows = root / arm.file
        outputs += [rows, ledger_path(rows), rows.with_suffix(".lint.json")]
    emptied = ("train", "eval", "export", "data/filtered", "data/sources")
    refuse_overwriting(dict.fromkeys(read), outputs, [root / name for name in emptied])


def _manifest_before(root: Path) -> tuple[ManifestRun, ...]:
    """Return the runs of the last generation; none where the manifest is missing or broken."""
    try:
        return read_manifest(root)
    except DataError:
        return ()


def _check_rows(resolved: Resolved, root: Path) -> tuple[list[str], list[Fault]]:
    """Read every arm at hand once, so that a bad row stops everything before a file is written.

    Returns what should be known of the arms' rows, and what is wrong with them.
    """
    faults: list[Fault] = []
    notes: list[str] = []
    for arm in resolved.arms.values():
        if not arm.has_file or not arm.at_hand:
            continue
        if is_current(arm, root):
            notes += arm_notes(arm, root)
            continue
        try:
            notes += arm_notes(arm, root, check_arm(arm))
        except DataError as error:
            faults += [
                Fault(f"arm {arm.name}: {fault.place}", fault.wrong, fault.expected, fault.remedy)
                for fault in error.faults
            ]
    return notes, faults


def _once(found: list[Fault], known: list[Fault]) -> list[Fault]:
    """Leave out faults already reported for another run: a recipe's fault is in all its runs."""
    reported = {(fault.place.rsplit(":", 1)[-1], fault.wrong) for fault in known}
    return [f for f in found if (f.place.rsplit(":", 1)[-1], f.wrong) not in reported]


def _write(checked: CheckedStudy, root: Path) -> list[ManifestRun]:
    study = checked.resolved.study
    write_if_changed(root / "study.yaml", dump_yaml(study.model_dump(mode="json")))
    for arm in checked.trained_arms:
        if arm.has_file and arm.at_hand:
            write_arm(arm, root)
    _write_shared(checked, root)
    write_kept(root, checked.kept)
    write_dev_tasks(root, study, checked.resolved.sets)
    write_questions(root, study, checked.resolved)
    texts: dict[str, dict[str, str]] = {"train": {}, "export": {}, "eval": {}}
    for declared in checked.jobs:
        if declared.text is not None and declared.job.file is not None:
            folder, _, name = declared.job.file.rpartition("/")
            texts.setdefault(folder, {})[name] = declared.text
        for file, text in declared.more.items():
            folder, _, name = file.rpartition("/")
            texts.setdefault(folder, {})[name] = text
    for folder, of_jobs in texts.items():
        if of_jobs:
            write_texts_if_changed(root / folder, of_jobs)
        _remove_orphans(root / folder, set(of_jobs))
    hashes = {declared.job.id: declared.job.sha256 for declared in checked.jobs}
    manifest = [
        _manifest_run(run, layout, made, checked.resolved, hashes)
        for run, layout, made in checked.files
    ]
    write_if_changed(root / "Snakefile", snakefile_text(study.name))
    write_if_changed(root / JOBS, jobs_text(declared.job for declared in checked.jobs))
    write_manifest(root, manifest)
    return manifest


def _write_shared(checked: CheckedStudy, root: Path) -> None:
    study = checked.resolved.study
    registry = {arm.name: _registration(arm, root) for arm in checked.trained_arms}
    for declared in checked.jobs:
        if declared.job.stage == "filter":
            rows = {"file_name": f"{root}/{declared.job.output}", "columns": COLUMNS}
            registry[declared.job.name] = rows
    registry |= registered_dev_rows(root, checked.resolved)
    text = json.dumps(registry, ensure_ascii=False, indent=2) + "\n"
    write_if_changed(root / "dataset_info.json", text)
    for name in sorted({r.deepspeed for r in study.recipes.values() if r.deepspeed}):
        source = bundle_file("templates", f"deepspeed/{name}.json")
        write_if_changed(root / "deepspeed" / source.name, source.read_text(encoding="utf-8"))
    if study.launcher == "accelerate":
        source = bundle_file("templates", "accelerate/fsdp.yaml")
        write_if_changed(root / "accelerate" / "fsdp.yaml", source.read_text(encoding="utf-8"))


def _registration(arm: ResolvedArm, root: Path) -> dict[str, Any]:
    if arm.has_file:
        return {"file_name": f"{root}/{arm.file}", "columns": COLUMNS}
    assert arm.source is not None
    assert arm.source.registration is not None
    return arm.source.registration.as_entry()


def _manifest_run(
    run: Run,
    layout: Layout,
    made: RunFiles,
    resolved: Resolved,
    hashes: Mapping[JobId, str | None],
) -> ManifestRun:
    # An arm is known by a hash of what it is made from, which is the same before and after `run`
    # has made it. Its ledger has the hash of the rows themselves.
    arm = resolved.arms.get(run.arm) if run.is_trained else None
    data = arm if arm is not None and arm.has_file else None
    digest = data.digest if data else None
    has_student = run.is_trained and run.student.scratch is not None and run.loop is None
    first = f"{layout.run}--round1" if run.loop else run.trained
    trained = replace(layout, trained=first)
    merged_first = f"{layout.run}--epoch1" if run.epochs else first if run.loop else run.name
    return ManifestRun(
        run=run.name,
        student=run.student.name,
        arm=run.arm,
        recipe=run.recipe if run.step is None else f"{run.recipe}@{run.step}",
        seed=run.seed,
        files=Files(
            train=trained.train_file if made.train else None,
            export=replace(layout, run=merged_first).export_file if made.export else None,
            eval=layout.eval_file,
            data=data.file if data else None,
            student=student_folder(run.student.name, run.arm) if has_student else None,
        ),
        outputs=Outputs(
            train=layout.checkpoint if made.train else None,
            export=layout.exported if made.export else None,
            evaluate=layout.scores,
        ),
        sha256=Hashes(
            train=hashes.get(("train", first)) if made.train else None,
            export=hashes.get(("export", merged_first)),
            eval=str(hashes["evaluate", run.name]),
            data=digest,
            student=student_digest(run, digest) if has_student else None,
            lengths=made.lengths,
        ),
        revisions={
            **({layout.model: run.student.revision} if run.student.is_on_hub else {}),
            **(arm.revisions if arm else {}),
        },
        factors=dict(run.factors),
        tasks=tuple(use.task for use in run.tasks),
        step=run.step,
        rounds=run.loop.rounds if run.loop else None,
    )


def _remove_orphans(folder: Path, kept: set[str]) -> None:
    """Remove configuration files of runs that the study no longer has; results stay."""
    for entry in list(os.scandir(folder)) if folder.is_dir() else ():
        if entry.name.endswith(".yaml") and entry.name not in kept:
            (folder / entry.name).unlink()


def _difference(
    checked: CheckedStudy,
    root: Path,
    before: Sequence[ManifestRun],
    now: Sequence[ManifestRun],
    notes: Sequence[str],
) -> Generated:
    old = {run.run: run for run in before}
    current = {run.run for run in now}
    changed = [run for run in now if run.run in old and run != old[run.run]]
    return Generated(
        folder=root,
        study=checked.resolved.study.name,
        new=tuple(run.run for run in now if run.run not in old),
        changed=tuple(run.run for run in changed),
        unchanged=tuple(run.run for run in now if run == old.get(run.run)),
        dropped=tuple(run for run in old if run not in current),
        stale=tuple(_stale(root, old, changed)),
        to_prepare=tuple(
            arm.name for arm in checked.trained_arms if arm.has_file and not arm.at_hand
        ),
        notes=(*notes, *checked.notes),
        unequal=unequal_arms(checked.resolved.study, checked.trained_arms, root),
        warnings=tuple(study_notes(checked.resolved.study)),
    )


def unequal_arms(study: Study, arms: Sequence[ResolvedArm], root: Path) -> str:
    """Say which arms are trained for other numbers of steps than the rest, where it is known."""
    if all(recipe.epochs is None for recipe in study.recipes.values()):
        return ""
    rows = {arm.name: count for arm in arms if (count := known_rows(arm, root))}
    if len(set(rows.values())) < 2:
        return ""
    least, most = min(rows, key=rows.__getitem__), max(rows, key=rows.__getitem__)
    return (
        f"arms differ in rows, from {rows[least]:,} ({least}) to {rows[most]:,} ({most}), and so "
        "in steps, for recipes count epochs; for equal compute say max_steps, or rows of a mix"
    )


def _stale(root: Path, old: dict[str, ManifestRun], changed: list[ManifestRun]) -> Iterator[str]:
    """Yield the outputs that are there and were made from something that has changed."""
    for run in changed:
        was, now = old[run.run].sha256, run.sha256
        retrain = (was.train, was.data, was.student) != (now.train, now.data, now.student)
        remerge = retrain or was.export != now.export
        outputs = (
            (run.outputs.train, retrain),
            (run.outputs.export, remerge),
            (run.outputs.evaluate, remerge or was.eval != now.eval),
        )
        for output, affected in outputs:
            if output and affected and (root / output).exists():
                yield output
