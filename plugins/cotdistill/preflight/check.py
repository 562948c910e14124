"""Find all errors in a study, a run folder, or the package itself, and report them at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotdistill.arms.build import arm_notes, is_current
from cotdistill.benchmarks.packaged import benchmark_files
from cotdistill.catalogue.packaged import (
    HUB_DATASETS,
    dataset_files,
    read_registrations,
    student_files,
)
from cotdistill.distill.paths import distillation_path
from cotdistill.distill.seq2seq_file import STAGE as SEQ2SEQ
from cotdistill.errors import Fault, FaultsError
from cotdistill.files.atomic import sha256_of
from cotdistill.files.bundle import (
    bundle_files,
    bundle_folders,
    bundles,
    more_bundles,
    only_bundles,
    parts_of,
)
from cotdistill.files.templates import parse_template
from cotdistill.files.yamls import read_yaml
from cotdistill.hosts.hub_commits import cached_commit
from cotdistill.hosts.llamafactory.arguments import accepted_by_llamafactory, registrations_as_read
from cotdistill.hosts.lm_eval.task_files import packaged_tasks
from cotdistill.hosts.machine.program import program_fault
from cotdistill.preflight.asked_alike import (
    asked_otherwise,
    choices_otherwise,
    declared_differences,
)
from cotdistill.preflight.contamination import compare_arms
from cotdistill.preflight.design import baseline_notes
from cotdistill.preflight.distillation import teacher_vocabularies
from cotdistill.preflight.merges import check_merges
from cotdistill.preflight.prompts import check_prompts
from cotdistill.preflight.rows import RowReport, row_reports
from cotdistill.runfolder.bundles import in_recorded_bundles
from cotdistill.runfolder.commands import prefixed
from cotdistill.runfolder.generate import check_study_files, unequal_arms
from cotdistill.runfolder.job import Job, marker_of, read_declared_jobs
from cotdistill.runfolder.kept import altered_copies
from cotdistill.runfolder.manifest import ManifestRun, no_jobs_fault, read_manifest
from cotdistill.runfolder.moved import moved_fault
from cotdistill.runfolder.stages import stage_called
from cotdistill.studies.load import (
    faults_with_lines,
    file_of,
    load_study,
    shipped_studies,
    study_of,
)
from cotdistill.studies.notes import study_notes
from cotdistill.studies.question_sets import DATASET_FILE
from cotdistill.studies.resolve_arms import resolve_arms
from cotdistill.studies.resolved_arm import ResolvedArm
from cotdistill.studies.study import Study, read_study
from cotdistill.tables import counted

_NAMED = 6  # of several files


@dataclass(frozen=True)
class Checked:
    """What was checked, the faults found, and each student's view of each arm."""

    looked_at: tuple[str, ...]
    faults: tuple[Fault, ...]
    rows: tuple[RowReport, ...] = ()
    notes: tuple[str, ...] = ()  # not faults, but worth knowing


def check(what: str | None, sets: Sequence[str] = (), deep: bool = False, show: int = 0) -> Checked:
    """Check all bundles (None), a study by name or file, a run folder, or one bundle's folder.

    `deep` also runs LLaMA-Factory's own code, which takes seconds; `show` is the number of rows per
    student and arm to return with their loss mask.
    """
    if what is None:
        return check_bundles([bundle.root for bundle in bundles()], deep)
    folder = Path(what)
    if folder.is_dir() and not (folder / "manifest.jsonl").is_file() and parts_of(folder):
        with more_bundles([folder]):
            return check_bundles([folder.resolve()], deep)
    if folder.is_dir():
        return check_run_folder(folder, deep, show)
    return check_study(what, sets, deep)


def check_bundles(roots: Sequence[Path], deep: bool = False) -> Checked:
    """Check every study, student, registration, benchmark, template and task of some bundles."""
    from cotdistill.preflight.tasks import benchmark_faults, check_tasks, gold_faults

    looked_at: list[str] = []
    faults: list[Fault] = []
    notes: list[str] = []

    def look(what: str, find: Callable[[], tuple[int, list[Fault]]]) -> None:
        """Note how many were checked and their faults; a catalogue that cannot be read is one."""
        try:
            count, found = find()
        except FaultsError as error:
            faults.extend(error.faults)
        else:
            faults.extend(found)
            looked_at.append(f"{count} {what}")

    for name in _within(roots, shipped_studies()):
        checked = check_study(name, (), deep)
        looked_at += checked.looked_at
        absent = [one for one in checked.faults if _is_absent(one)]
        faults += [one for one in checked.faults if one not in absent]
        if absent:
            files = counted(sum(one.wrong.startswith(_NO_FILE) for one in absent), "file")
            notes.append(f"study {name}: not checked without {files} of questions that it reads")
    look("students", lambda: (len(_within(roots, student_files())), []))
    look("registered datasets", lambda: (len(_within(roots, dataset_files())), []))
    if deep:
        look("hub datasets as LLaMA-Factory reads them", lambda: registrations_misread(roots))
    names = _within(roots, benchmark_files())
    look("benchmarks", lambda: (len(names), benchmark_faults(names)))
    look("templates", lambda: check_templates(roots))
    for folder in bundle_folders("task_configs"):
        if folder.parent in roots:
            faults += check_tasks(folder, golds=False)
    look("tasks, groups and tags", lambda: (len(_within(roots, packaged_tasks())), []))
    faults += gold_faults() if deep else []
    return Checked(tuple(looked_at), tuple(faults), notes=tuple(notes))


_NO_FILE = "no such file"


def _is_absent(fault: Fault) -> bool:
    """Whether a packaged study lacks a file of questions, which only its user can have."""
    keys = fault.place.split(":")[-1].split(".")
    if keys == ["data_folder"]:
        return fault.wrong.startswith("no such folder")
    asked = keys[0] == "questions" and keys[-1] == "file"
    answered = keys[0] == "arms" and fault.expected == DATASET_FILE
    return (asked or answered) and fault.wrong.startswith(_NO_FILE)


def _within(roots: Sequence[Path], files: Mapping[str, Path]) -> list[str]:
    """Return the names whose files are in some bundles."""
    return [
        name for name, path in files.items() if any(path.is_relative_to(root) for root in roots)
    ]


def check_templates(roots: Sequence[Path]) -> tuple[int, list[Fault]]:
    """Return how many templates some bundles have, and what is wrong with those for runs.

    A training template is filled in for a run as `generate` would do it, an evaluation template
    too, and what LLaMA-Factory would refuse is a fault. Prompts are parsed.
    """
    found = {str(path): path for path in bundle_files("templates", "*/*")}
    files = [found[name] for name in _within(roots, found)]
    faults: list[Fault] = []
    for path in files:
        name = path.name.removesuffix(".yaml.j2")
        study: dict[str, Any] = {
            "name": "check",
            "students": [{"name": "tiny", "scratch": {}}],
            "arms": {"arm": {"puzzles": "ball", "level": 1, "rows": 1}},
            "recipes": {"recipe": {"max_steps": 1}},
            "evaluation": {"tasks": ["cot_gsm8k"], "generation": {"max_gen_toks": 64}},
        }
        try:
            if path.match("train/[!_]*.yaml.j2"):
                study["recipes"]["recipe"]["template"] = name
            elif path.match("eval/[!_]*.yaml.j2"):
                study["evaluation"]["backend"] = name
            elif path.match("prompts/*.j2"):
                parse_template(f"prompts/{path.name}")
                continue
            else:
                continue
            check_study_files(read_study(study, str(path)), str(path), Path("runs").resolve())
        except FaultsError as error:
            faults += error.faults
    return len(files), faults


def registrations_misread(roots: Sequence[Path]) -> tuple[int, list[Fault]]:
    """Return how many hub datasets there are, and each column LLaMA-Factory ignores or misreads.

    Raises:
        FaultsError: LLaMA-Factory cannot be run here.
    """
    count = 0
    faults = []
    for path in bundle_files("dataset_info", HUB_DATASETS):
        if not any(path.is_relative_to(root) for root in roots):
            continue
        hub = {name: entry for name, entry in read_registrations(path).items() if entry.hf_hub_url}
        read = registrations_as_read(list(hub), path.parent)
        count += len(hub)
        faults += [
            Fault(
                f"{path}:{name}.columns.{column}",
                f"LLaMA-Factory reads {read[name].get(column)!r}",
                repr(declared),
            )
            for name, entry in hub.items()
            for column, declared in entry.columns.model_dump(exclude_none=True).items()
            if read[name].get(column) != declared
        ]
    return count, faults


def check_study(name_or_path: str, sets: Sequence[str], deep: bool = False) -> Checked:
    """Check a study as `generate` would, without writing anything."""
    try:
        study, place = load_study(name_or_path, sets)
        with only_bundles(study.bundles):
            with faults_with_lines(file_of(name_or_path), place):
                folder = Path("runs").resolve() / study.name
                checked = check_study_files(study, place, folder)
            compared = compare_arms(study, checked.trained_arms)
            missing = tuple(environment_faults(study, place))
            otherwise = (
                *asked_otherwise(study, place),
                *choices_otherwise(study, checked.trained_arms),
            )
            merges = check_merges(study, place)
    except FaultsError as error:
        return Checked((f"study {name_or_path}",), error.faults)
    looked_at = f"study {study.name}: {counted(len(checked.files), 'run')}"
    revisions: dict[str, str | None] = {}
    for run, layout, _ in checked.files:
        if run.student.is_on_hub:
            revisions[layout.model] = run.student.revision
        if run.arm in checked.resolved.arms:
            revisions |= checked.resolved.arms[run.arm].revisions
    notes = (
        *checked.notes,
        *study_notes(study),
        *_unpinned(revisions),
        *compared.notes,
        *declared_differences(study),
        *baseline_notes(study),
        *merges.notes,
    )
    faults = (*missing, *compared.faults, *otherwise, *merges.faults)
    more = list(compared.looked_at)
    if merges.compared:
        more.append(f"the models of {counted(merges.compared, 'merge')}")
    if not deep:
        return Checked((looked_at, *more), faults, notes=notes)
    configs = []
    for _, layout, made in checked.files:
        if made.train and made.train.values.get("stage") != SEQ2SEQ:
            configs.append((f"{layout.run}.yaml", "train", made.train.values))
        if made.export:
            configs.append((f"{layout.run}.yaml", "export", made.export.values))
    looked_at += ", by LLaMA-Factory's own parser"
    return Checked((looked_at, *more), (*faults, *_accepted(configs)), notes=notes)


@in_recorded_bundles
def check_run_folder(root: Path, deep: bool = False, show: int = 0) -> Checked:
    """Check that a run folder is complete and unaltered; with `deep`, what training would see.

    Raises:
        FaultsError: it is not a run folder.
    """
    root = root.resolve()
    study = study_of(root)
    manifest = read_manifest(root)
    trained = [
        run for run in manifest if run.is_trained and run.step is None and run.rounds is None
    ]
    jobs = read_declared_jobs(root) or {}
    commands = [(job.command, job.file) for job in jobs.values() if job.file]
    commands += [
        (run.stages.train.command, run.files.train or "") for run in manifest if run.stages
    ]
    moved = moved_fault(root, commands)
    no_jobs = no_jobs_fault(root, manifest)
    faults = [*filter(None, [moved, no_jobs]), *_altered(root, manifest, jobs.values())]
    faults += environment_faults(study, str(root / "study.yaml"))
    looked_at = [f"run folder of {study.name}: {counted(len(manifest), 'run')}"]
    rows: list[RowReport] = []
    notes: list[str] = []
    to_come: list[str] = []
    if deep or show:
        configs = [
            (file, kind, read_yaml(root / file))
            for run in trained
            for kind, file in (("train", run.files.train), ("export", run.files.export))
            if file and (root / file).is_file()
        ]
        configs = [one for one in configs if one[2].get("stage") != SEQ2SEQ]
        decoders = [run for run in trained if not _is_seq2seq(root, run)]
        faults += _accepted(configs)
        looked_at.append("training files by LLaMA-Factory's own parser")
        ready, unmade = made_students(root, _one_a_view(decoders))
        rows, unread = row_reports(study, root, ready, show)
        faults += unread
        to_come += unmade
        faults += [fault for report in rows for fault in report.faults()]
        truncated = [note for report in rows for note in report.notes()]
        views = counted(len(rows), "arm")
        looked_at.append(f"the rows of {views} as training would see them")
        prompts = check_prompts(root)
        faults += prompts.faults
        notes = [*truncated, *prompts.notes]
        notes += [
            f"prompt not compared, tokenizer not available: {place}" for place in prompts.unchecked
        ]
        looked_at.append("evaluation prompts against training prompts, byte for byte")
    vocabularies = teacher_vocabularies(root, trained, local=not (deep or show))
    faults += vocabularies.faults
    notes += [
        f"vocabulary not compared, tokenizer not available: {one}" for one in vocabularies.missing
    ]
    notes += [
        f"vocabulary not compared on rows: {one}; the training compares them at its start"
        for one in vocabularies.unread
    ]
    if vocabularies.compared:
        pairs = counted(vocabularies.compared, "student")
        looked_at.append(f"the vocabularies of {pairs} and its teacher")
    arms = resolve_arms(study, str(root / "study.yaml"))
    trained_on = [arms[name] for name in study.trained_arms()]
    gone, unprepared = _missing_rows(trained_on, root)
    faults += gone
    if to_come := [*unprepared, *to_come]:
        named = ", ".join(to_come[:_NAMED]) + (" ..." if len(to_come) > _NAMED else "")
        notes.insert(
            0,
            f"not made yet, so not checked: {named}; make them: cotdistill run {root} --only "
            "prepare, and check again",
        )
    notes += [note for arm in trained_on for note in arm_notes(arm, root)]
    if unequal := unequal_arms(study, trained_on, root):
        notes.insert(0, unequal)
    notes += study_notes(study)
    notes += _unpinned({name: rev for run in manifest for name, rev in run.revisions.items()})
    faults += asked_otherwise(study, str(root / "study.yaml"))
    faults += choices_otherwise(study, trained_on, root)
    notes += declared_differences(study)
    notes += baseline_notes(study)
    merges = check_merges(study, str(root / "study.yaml"))
    faults += merges.faults
    notes += merges.notes
    if merges.compared:
        looked_at.append(f"the models of {counted(merges.compared, 'merge')}")
    faults += [
        Fault(str(root / name), "was edited or removed", "the file that the folder came with",
              "generate the folder again")
        for name in altered_copies(root)
    ]  # fmt: skip
    compared = compare_arms(study, trained_on, root)
    looked_at += compared.looked_at
    faults += compared.faults
    notes += compared.notes
    return Checked(tuple(looked_at), tuple(faults), tuple(rows), tuple(notes))


def _is_seq2seq(root: Path, run: ManifestRun) -> bool:
    """Whether a run's student is an encoder-decoder, which LLaMA-Factory is not asked about."""
    file = root / str(run.files.train)
    return file.is_file() and read_yaml(file).get("stage") == SEQ2SEQ


def _unpinned(revisions: Mapping[str, str | None]) -> Iterator[str]:
    """Yield one note that names the hub models and datasets without a revision."""
    names = []
    for name in sorted(name for name, revision in revisions.items() if revision is None):
        here = cached_commit("models", name) or cached_commit("datasets", name)
        names.append(f"{name} ({here} is in the cache here)" if here else name)
    if names:
        yield f"no revision given, so a push to the hub changes the study: {', '.join(names)}"


def environment_faults(study: Study, place: str) -> Iterator[Fault]:
    """Yield a fault for each stage whose environment, or its program there, does not exist here."""
    for stage in study.environments:
        known = stage_called(stage)
        program = known.program if known else "cotdistill"
        words = prefixed(study, stage, [program])
        if program_fault(stage, words, os.environ):
            inside = Path(words[0]).name == program
            wrong = "no such program" if inside else "no such environment or command"
            expected = "a virtual environment's folder, or a command prefix like conda run -n NAME"
            yield Fault(f"{place}:environments.{stage}", f"{wrong}: {words[0]}", expected)


def _accepted(configs: list[tuple[str, str, dict[str, object]]]) -> list[Fault]:
    try:
        return accepted_by_llamafactory(configs)
    except FaultsError as error:
        return list(error.faults)


def _altered(root: Path, manifest: Sequence[ManifestRun], jobs: Iterable[Job]) -> list[Fault]:
    """Report configuration files that are gone or are not what `generate` wrote."""
    generated = {job.file: job.sha256 for job in jobs if job.file and job.sha256}
    for run in manifest if not generated else ():  # release 0.1 had the hashes in the manifest
        files, hashes = run.files, run.sha256
        named = zip((files.train, files.export, files.eval),
                    (hashes.train, hashes.export, hashes.eval), strict=True)  # fmt: skip
        generated |= {name: digest for name, digest in named if name and digest}
    faults = []
    for name, digest in generated.items():
        if not (root / name).is_file():
            faults.append(Fault(str(root / name), "is missing", "", "generate it again"))
        elif sha256_of(*_with_distillation(root / name)) != digest:
            remedy = "change the study and generate again"
            faults.append(Fault(str(root / name), "was edited after it was generated", "", remedy))
    return faults


def _with_distillation(path: Path) -> list[Path]:
    """Return a training file and the block of its distillation: one hash is for both."""
    return [one for one in (path, distillation_path(path)) if one.is_file()]


def _missing_rows(arms: Iterable[ResolvedArm], root: Path) -> tuple[list[Fault], list[str]]:
    """Return what is wrong with the rows of arms, and the files of those that are still to come."""
    faults: list[Fault] = []
    to_come: list[str] = []
    for arm in arms:
        if not arm.has_file:
            continue
        path = root / arm.file
        if not path.is_file() and (root / marker_of(("prepare", arm.name))).is_file():
            remedy = f"cotdistill run {root} --only prepare"
            faults.append(Fault(str(path), "was prepared and is gone", "", remedy))
        elif not path.is_file():
            to_come.append(arm.file)
        elif not is_current(arm, root):
            remedy = "generate again; runs that used it will be trained again"
            faults.append(Fault(str(path), "does not match its ledger", "", remedy))
    return faults, to_come


def made_students(root: Path, runs: Sequence[ManifestRun]) -> tuple[list[ManifestRun], list[str]]:
    """Return the runs whose student exists, and the scratch students that are still to come."""
    unmade = {
        run.files.student: run
        for run in runs
        if run.files.student and not (root / run.files.student).is_dir()
    }
    ready = [run for run in runs if run.files.student not in unmade]
    return ready, list(unmade)


def _one_a_view(manifest: Sequence[ManifestRun]) -> list[ManifestRun]:
    """Keep one run for each student, arm and recipe: other random seeds see the same rows."""
    views = {(run.student, run.arm, run.recipe): run for run in reversed(manifest)}
    return [run for run in manifest if views[run.student, run.arm, run.recipe] is run]
