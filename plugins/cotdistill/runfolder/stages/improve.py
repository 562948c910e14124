"""The rounds of loops, unrolled: sample, filter, train, merge, score, decide, for every round.

All rounds that a study allows are declared beforehand. Where the stop rule ends a loop earlier, the
record of the round that ended it makes the jobs of the later rounds finish at once (`unless`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from cotdistill.distill.paths import distillation_path
from cotdistill.files.atomic import sha256_of_text
from cotdistill.runfolder.job import Asks, Command, Job, JobId, hash_of_words
from cotdistill.runfolder.round_paths import (
    filter_record_of,
    likelihood_record_of,
    record_of,
    rows_of,
    samples_of,
    signals_of,
)
from cotdistill.runfolder.stages.ask import (
    asked_count,
    asked_model,
    decoding_words,
    local_words,
)
from cotdistill.runfolder.stages.epochs import epoch_jobs
from cotdistill.runfolder.stages.prepare import rows_job_name
from cotdistill.runfolder.stages.stage import Declared, Stage, StudyFiles, no_jobs

if TYPE_CHECKING:
    from cotdistill.runfolder.config_files import RunConfigs
    from cotdistill.runfolder.rounds import Round
    from cotdistill.studies.requests import Loop
    from cotdistill.studies.runs import Run


def _jobs(files: StudyFiles) -> Iterator[Declared]:
    from cotdistill.runfolder.config_files import RunConfigs

    configs = RunConfigs(files.resolved)
    done: set[JobId] = set()
    for run, _, _ in files.runs:
        if run.loop is None:
            continue
        for declared in _loop_jobs(files, configs, run, run.loop):
            if declared.job.id not in done:  # loops of one start share their round 0
                done.add(declared.job.id)
                yield declared


def _loop_jobs(files: StudyFiles, configs: RunConfigs, run: Run, loop: Loop) -> Iterator[Declared]:
    from cotdistill.runfolder.rounds import rounds_of

    rounds = rounds_of(files.resolved, configs, files.root, run)
    yield _evaluation(files, rounds[0], rounds[0].made_by, ())
    for before, here in itertools.pairwise(rounds):
        decided: tuple[JobId, ...] = (("decide", before.name),) if before.number else ()
        ended = (record_of(before.name),) if before.number else ()
        unless = (*ended, filter_record_of(here.name))
        yield _sampling(files, run, loop, (before, here), decided, ended)
        yield _filtering(files, loop, (rounds, here), decided, ended)
        if loop.capture:
            yield _capture(files, configs, here, decided, unless)
        if loop.likelihood is not None:
            yield _likelihood(files, loop, (before, here), decided, unless)
        yield _training(run, (before, here), decided, unless)
        yield from _export(here, unless)
        yield _evaluation(files, here, (*here.made_by, *decided), unless)
        yield _decision(files, loop, (rounds, here), decided, ended)
    yield _choice(files, run, loop, rounds)


def _sampling(
    files: StudyFiles,
    run: Run,
    loop: Loop,
    pair: tuple[Round, Round],
    needs: tuple[JobId, ...],
    unless: tuple[str, ...],
) -> Declared:
    from cotdistill.runfolder.commands import prefixed
    from cotdistill.runfolder.rounds import asked_as, question_source, sampling_seed
    from cotdistill.studies.known_model import known_model

    before, here = pair
    study = files.resolved.study
    asked = loop.sample
    sets = [asked.questions] if isinstance(asked.questions, str) else asked.questions
    seeded = asked.model_copy(update={"seed": sampling_seed(loop, run, here.number)})
    sources = [question_source(study, one) for one in sets]
    gpus = study.hardware.gpus
    words = ["cotdistill", "sample", ",".join(sources), "--model", before.weights]
    words += local_words(gpus)
    if not before.made_by and run.student.revision:
        words += ["--revision", run.student.revision]
    words += ["--strategy", asked.strategy, "-k", str(asked.samples)]
    if asked.strategy == "state_reset":
        words += ["--prefix-mode", "flags"]  # which vLLM and transformers know in this process
    words += ["--min-correct", str(asked.min_correct), "--rounds", str(asked.attempts)]
    words += ["--per-question", "0", "--keep", asked.keep, "--instruction", asked_as(study, loop)]
    words += ["--system", study.prompt.system] if study.prompt.system else []
    words += ["--mode", "program" if asked.format == "program" else "cot"]
    words += decoding_words(seeded, known_model(run.student.name, study.models))
    if asked.helper is not None and asked.strategy == "interactive":
        where = f"arms.{run.arm}.improve.sample.helper"
        words += asked_model(files, asked.helper, where).as_helper(where)
    words += ["-o", samples_of(here.name)]
    counts = [asked_count(files.resolved, one) for one in sets]
    known = None if None in counts else sum(count or 0 for count in counts) * asked.samples
    return Declared(
        Job(
            "sample", here.name, command=tuple(prefixed(study, "sample", words)), gpus=gpus,
            declared=hash_of_words(words, files.root),
            output=f"{samples_of(here.name)}/samples.jsonl", arm=run.arm,
            needs=(*before.made_by, *needs), unless=unless, asks=Asks(before.weights, known),
        )
    )  # fmt: skip


def _filtering(
    files: StudyFiles,
    loop: Loop,
    where: tuple[list[Round], Round],
    needs: tuple[JobId, ...],
    unless: tuple[str, ...],
) -> Declared:
    from cotdistill.runfolder.rounds import asked_as

    rounds, here = where
    needs = (("sample", here.name), *needs)
    if loop.keep.data == "previous":
        needs += tuple(("filter", one.name) for one in rounds[1 : here.number])
    elif loop.keep.data == "original" and loop.start and files.resolved.arms[loop.start].has_file:
        needs += (("prepare", rows_job_name(loop.start)),)
    settings = [loop.model_dump_json(), asked_as(files.resolved.study, loop)]
    settings += [one.digest for one in files.resolved.sets.values() if one.declared.dev]
    return Declared(
        Job(
            "filter", here.name, own=_own(files), declared=sha256_of_text("\n".join(settings)),
            output=rows_of(here.name), arm=here.run.arm, needs=needs, unless=unless,
        )
    )  # fmt: skip


def _likelihood(
    files: StudyFiles,
    loop: Loop,
    pair: tuple[Round, Round],
    needs: tuple[JobId, ...],
    unless: tuple[str, ...],
) -> Declared:
    """Return the job that scores a round's rows with the model that wrote them.

    It starts in the environment that trains, which has transformers.
    """
    from cotdistill.runfolder.commands import prefixed

    before, here = pair
    study = files.resolved.study
    own = prefixed(study, "train", ["cotdistill"])
    return Declared(
        Job(
            "likelihood", here.name, own=() if own == ["cotdistill"] else tuple(own),
            declared=str(loop.likelihood), gpus=min(study.hardware.gpus, 1),
            output=likelihood_record_of(here.name), arm=here.run.arm,
            needs=(("filter", here.name), *before.made_by, *needs), unless=unless,
        )
    )  # fmt: skip


def _training(
    run: Run,
    pair: tuple[Round, Round],
    needs: tuple[JobId, ...],
    unless: tuple[str, ...],
) -> Declared:
    from cotdistill.studies.runs import student_folder

    before, here = pair
    made, layout = here.made, here.layout
    assert made.train is not None
    assert made.train_command is not None
    command, block = made.train_command, made.distillation
    kd_file = str(distillation_path(Path(layout.train_file)))
    more = {kd_file: block.text} if block else {}
    inputs: tuple[str, ...] = (rows_of(here.name),)
    captured = (("capture", here.name),) if run.loop is not None and run.loop.capture else ()
    needs = (("filter", here.name), *captured, *needs, *(block.needs if block else ()))
    if run.loop is not None and run.loop.from_ == "previous":
        needs += before.made_by
    elif run.student.scratch:
        needs += (("prepare", f"{run.student.name}--{run.made_for}"),)
        inputs += (student_folder(run.student.name, run.made_for),)
    elif run.student.merged:
        needs += (("merge", run.student.name),)
        inputs += (run.student.merged,)
    text = "".join([made.train.text, *more.values()])
    return Declared(
        Job(
            "train", here.name, command=command.command, env=command.env, gpus=command.gpus,
            file=layout.train_file, sha256=sha256_of_text(text),
            output=layout.checkpoint, arm=run.arm, needs=needs, inputs=inputs, unless=unless,
        ),
        made.train.text,
        more,
    )  # fmt: skip


def _capture(
    files: StudyFiles,
    configs: RunConfigs,
    here: Round,
    needs: tuple[JobId, ...],
    unless: tuple[str, ...],
) -> Declared:
    """Return the job that stores the teacher's signals for exactly the tokens of a round's rows."""
    from cotdistill.runfolder.commands import prefixed
    from cotdistill.studies.requests import CAPTURED_TOKENS

    study = files.resolved.study
    kd = study.recipes[here.run.recipe].kd
    block = configs.files(here.run, here.layout).distillation
    assert kd is not None
    assert block is not None
    teacher = yaml.safe_load(block.text)["teacher"]
    words = ["cotdistill", "capture", here.layout.absolute(here.layout.train_file)]
    words += ["--teacher", teacher["model"], "-o", signals_of(here.name)]
    words += ["--top-k", str(kd.top_k or CAPTURED_TOKENS)]
    words += ["--temperature", f"{kd.temperature or 1.0:g}"]
    student: tuple[JobId, ...] = ()
    if here.run.student.scratch:
        student = (("prepare", f"{here.run.student.name}--{here.run.made_for}"),)
    elif here.run.student.merged:
        student = (("merge", here.run.student.name),)
    return Declared(
        Job(
            "capture", here.name, command=tuple(prefixed(study, "capture", words)),
            gpus=study.hardware.gpus, output=signals_of(here.name), arm=here.run.arm,
            declared=hash_of_words(words, files.root),
            needs=(("filter", here.name), *student, *block.needs, *needs), unless=unless,
        )
    )  # fmt: skip


def _export(here: Round, unless: tuple[str, ...]) -> Iterator[Declared]:
    made, layout = here.made, here.layout
    if made.export is None or made.export_command is None:
        return
    command = made.export_command
    yield Declared(
        Job(
            "export", here.name, command=command.command, env=command.env, gpus=command.gpus,
            file=layout.export_file, sha256=sha256_of_text(made.export.text),
            output=layout.exported, arm=here.run.arm, needs=(("train", here.name),), unless=unless,
        ),
        made.export.text,
    )  # fmt: skip


def _evaluation(
    files: StudyFiles, here: Round, needs: tuple[JobId, ...], unless: tuple[str, ...]
) -> Declared:
    command: Command = here.made.evaluate_command
    tasks = tuple(use.task for use in here.run.tasks)
    return Declared(
        Job(
            "evaluate", here.name, command=command.command, env=command.env, gpus=command.gpus,
            file=here.layout.eval_file, sha256=sha256_of_text(here.made.evaluate.text),
            declared=files.kept.digest(tasks), output=here.layout.scores, arm=here.run.arm,
            needs=needs, unless=unless,
        ),
        here.made.evaluate.text,
    )  # fmt: skip


def _decision(
    files: StudyFiles,
    loop: Loop,
    where: tuple[list[Round], Round],
    needs: tuple[JobId, ...],
    unless: tuple[str, ...],
) -> Declared:
    rounds, here = where
    needs = (
        ("evaluate", here.name), ("evaluate", rounds[0].name), ("filter", here.name),
        ("train", here.name), *needs,
    )  # fmt: skip
    if loop.likelihood is not None:
        needs += (("likelihood", here.name),)
    return Declared(
        Job(
            "decide", here.name, own=_own(files), declared=sha256_of_text(loop.model_dump_json()),
            output=record_of(here.name), arm=here.run.arm, needs=needs, unless=unless,
        )
    )  # fmt: skip


def _choice(files: StudyFiles, run: Run, loop: Loop, rounds: list[Round]) -> Declared:
    """Return the job that makes the best round the loop's model."""
    needs = tuple(("decide", one.name) for one in rounds[1:])
    made = {need: None for one in rounds for need in one.made_by}
    return Declared(
        Job(
            "decide", run.name, own=_own(files), declared=sha256_of_text(loop.model_dump_json()),
            output=record_of(run.name), arm=run.arm, needs=(*needs, *made),
        )
    )  # fmt: skip


def _own(files: StudyFiles) -> tuple[str, ...]:
    from cotdistill.runfolder.commands import prepare_command

    command = prepare_command(files.resolved.study)
    return command.command if command else ()


FILTER = Stage(
    name="filter",
    about="keep what a round of a loop is trained on",
    program="cotdistill",
    extra="",
    remakes=False,
    jobs=_jobs,
)
DECIDE = Stage(
    name="decide",
    about="end a loop or let it go on, and choose its round; choose an epoch",
    program="cotdistill",
    extra="",
    remakes=False,
    jobs=epoch_jobs,
)
CAPTURE = Stage(
    name="capture",
    about="store a teacher's signals for a round of a loop",
    program="cotdistill",
    extra="train",
    remakes=False,
    jobs=no_jobs,
)
LIKELIHOOD = Stage(
    name="likelihood",
    about="measure how likely a round's rows are to the model that wrote them",
    program="cotdistill",
    extra="train",
    remakes=False,
    jobs=no_jobs,
    is_in=lambda study: any(loop.likelihood is not None for loop in study.loops().values()),
)
