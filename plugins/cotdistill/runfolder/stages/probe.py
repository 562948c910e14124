"""Probes: a merge and two models answer a few questions before the merge teaches or is sampled.

A probe is a gate: it lets the jobs that ask the merge run, or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cotdistill.files.atomic import sha256_of_text
from cotdistill.runfolder.job import Asks, Job, JobId, hash_of_words
from cotdistill.runfolder.stages.ask import (
    asked_model,
    packages_of,
    teaching_words,
    without_dev_needs,
)
from cotdistill.runfolder.stages.stage import Declared, Stage, StudyFiles

if TYPE_CHECKING:
    from cotdistill.studies.study import Study


def _jobs(files: StudyFiles) -> Iterator[Declared]:
    from cotdistill.runfolder.commands import prepare_command
    from cotdistill.studies.probes import probe_folders, probe_record_of, probes_of

    study = files.resolved.study
    own = prepare_command(study)
    done: set[JobId] = set()
    for merge, probe in probes_of(study).items():
        needs = []
        for model, folder in probe_folders(study, merge).items():
            declared = _asking(files, merge, model, folder)
            needs.append(declared.job.id)
            if declared.job.id not in done:
                done.add(declared.job.id)
                yield declared
        yield Declared(
            Job(
                "probe", merge, own=own.command if own else (), gate=True, needs=tuple(needs),
                declared=sha256_of_text(probe.model_dump_json()), output=probe_record_of(merge),
            )
        )  # fmt: skip


def _asking(files: StudyFiles, merge: str, model: str, folder: str) -> Declared:
    """Return the job that asks one model, as the merge will be asked."""
    from cotdistill.runfolder.commands import prefixed
    from cotdistill.studies.probes import probed_arm, probes_of

    study = files.resolved.study
    probe = probes_of(study)[merge]
    found = probed_arm(study, merge)
    assert found is not None
    arm, request = found
    changed = {"teacher": model, "samples": 1, "again": 0, "allow_missing": 1.0}
    # what is of the teaching, and not of its probe
    changed |= {"budget": None, "budget_tokens": None, "one_call": False}
    asked = request.model_copy(update=changed)
    who = asked_model(files, model, f"models.{merge}.probe")
    words = teaching_words(study, asked, arm, who)
    words += ["--draw", str(probe.questions), "-o", folder]
    needs = tuple(need for need in who.needs if need[0] != "probe")  # a gate is for teaching
    needs += without_dev_needs(study, [asked.questions])
    return Declared(
        Job(
            "probe", f"{folder.rpartition('/')[2]}+responses",
            command=tuple(prefixed(study, "teach", words)), gpus=who.gpus,
            output=f"{folder}/traces.jsonl", declared=hash_of_words(words, files.root),
            needs=needs, asks=Asks(model, requests=probe.questions),
        )
    )  # fmt: skip


def _has_probes(study: Study) -> bool:
    from cotdistill.studies.probes import probes_of

    return bool(probes_of(study))


def _packages(study: Study) -> tuple[str, ...]:
    from cotdistill.studies.probes import probes_of

    models = [m for name, one in probes_of(study).items() for m in (one.short, name, one.long)]
    return packages_of(study, models)


PROBE = Stage(
    name="probe",
    about="see whether a merge writes at intermediate length",
    program="cotdistill",
    extra="",
    remakes=False,
    jobs=_jobs,
    is_in=_has_probes,
    packages=_packages,
)
