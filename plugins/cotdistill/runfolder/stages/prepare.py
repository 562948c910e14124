"""The rows of an arm, the randomly initialised student that learns from them, their lengths."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cotdistill.files.atomic import sha256_of_text
from cotdistill.runfolder.job import Job
from cotdistill.runfolder.stages.ask import asking_needs, questions_job_name
from cotdistill.runfolder.stages.stage import Declared, Stage, StudyFiles

if TYPE_CHECKING:
    from cotdistill.studies.resolve import Resolved
    from cotdistill.studies.runs import Run


def rows_job_name(arm: str) -> str:
    """Return the name of the job that writes an arm's rows."""
    return arm


def student_job_name(run: Run) -> str:
    """Return the name of the job that makes a run's randomly initialised student."""
    return f"{run.student.name}--{run.arm}"


def lengths_job_name(arm: str) -> str:
    """Return the name of the job that checks an arm's lengths; no other name holds a plus."""
    return f"{arm}+lengths"


def prepared_for(resolved: Resolved, run: Run) -> tuple[tuple[str, str], ...]:
    """Return the jobs that a run's training waits for: its rows, its student, their lengths."""
    needs: list[tuple[str, str]] = []
    if run.arm in resolved.arms and resolved.arms[run.arm].has_file:
        needs.append(("prepare", rows_job_name(run.arm)))
    if run.student.scratch:
        needs.append(("prepare", student_job_name(run)))
    if run.student.merged:
        needs.append(("merge", run.student.name))
    return (*needs, ("prepare", lengths_job_name(run.arm)))


def inputs_of(resolved: Resolved, run: Run) -> tuple[str, ...]:
    """Return the rows and the student that a run's training reads, in the folder."""
    from cotdistill.studies.runs import student_folder

    arm = resolved.arms.get(run.arm)
    rows = [arm.file] if arm is not None and arm.has_file else []
    made = [student_folder(run.student.name, run.arm)] if run.student.scratch else []
    return (*rows, *made, *([run.student.merged] if run.student.merged else []))


def student_digest(run: Run, data_hash: str | None) -> str | None:
    """Return a hash of what a randomly initialised student is made from, None for another one."""
    scratch = run.student.scratch
    if scratch is None:
        return None
    return sha256_of_text(f"{json.dumps(scratch.model_dump(mode='json'))}{data_hash}")


def _jobs(files: StudyFiles) -> Iterator[Declared]:
    from cotdistill.runfolder.commands import prepare_command
    from cotdistill.studies.runs import student_folder

    resolved = files.resolved
    command = prepare_command(resolved.study)
    own = command.command if command else ()
    done: set[tuple[str, str]] = set()
    lengths: dict[str, _Lengths] = {}
    for run, _, made in files.runs:
        if made.lengths is None or run.step is not None:
            continue
        gate = lengths.setdefault(run.arm, _Lengths())
        gate.hashes.add(made.lengths)
        gate.needs.update(dict.fromkeys(prepared_for(resolved, run)[:-1]))
        arm = resolved.arms[run.arm]
        needs: tuple[tuple[str, str], ...] = ()
        digest = arm.digest if arm.has_file else None
        if arm.has_file:
            rows = Job(
                "prepare", rows_job_name(run.arm), own=own, declared=digest, output=arm.file,
                arm=run.arm, needs=asking_needs(resolved.study, run.arm),
            )  # fmt: skip
            needs = (rows.id,)
            if rows.id not in done:
                done.add(rows.id)
                yield Declared(rows)
        if run.student.scratch:
            folder = student_folder(run.student.name, run.arm)
            student = Job(
                "prepare", student_job_name(run), own=own, declared=student_digest(run, digest),
                output=folder, arm=run.arm, student=run.student.name, needs=needs,
            )  # fmt: skip
            if student.id not in done:
                done.add(student.id)
                yield Declared(student)
    yield from _questions(files, own)
    for name, gate in lengths.items():
        yield Declared(
            Job(
                "prepare", lengths_job_name(name), own=own, declared=" ".join(sorted(gate.hashes)),
                output=f"data/{name}.lengths.json", arm=name, needs=tuple(gate.needs), gate=True,
            )
        )  # fmt: skip


def _questions(files: StudyFiles, own: tuple[str, ...]) -> Iterator[Declared]:
    """Declare the jobs that write what models are asked: no development question of the study."""
    from cotdistill.studies.arm import SampleArm, TeachArm
    from cotdistill.studies.question_sets import asked_file

    study, sets = files.resolved.study, files.resolved.sets
    asked: list[str] = []
    for arm in study.arms.values():
        if isinstance(arm, TeachArm) and not arm.teach.rewrite_of:
            asked.append(arm.teach.questions)
        if isinstance(arm, SampleArm):
            given = arm.sample.questions
            asked += [given] if isinstance(given, str) else given
    kept = [one.digest for one in sets.values() if one.declared.dev]
    for name in dict.fromkeys(asked):
        if study.questions[name].is_written:
            declared = sha256_of_text(json.dumps([sets[name].digest, *kept]))
            yield Declared(
                Job("prepare", questions_job_name(name), own=own, declared=declared,
                    output=asked_file(name))
            )  # fmt: skip


@dataclass
class _Lengths:
    """How one arm's rows are tokenised and truncated, and the jobs that their check waits for."""

    hashes: set[str] = field(default_factory=set)
    needs: dict[tuple[str, str], None] = field(default_factory=dict)


PREPARE = Stage(
    name="prepare",
    about="write an arm's rows, or a randomly initialised student",
    program="cotdistill",
    extra="",
    remakes=False,
    jobs=_jobs,
)
