"""Training: LLaMA-Factory on one arm's rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cotdistill.distill.paths import SUMMARY, distillation_path
from cotdistill.files.atomic import sha256_of_text
from cotdistill.runfolder.job import Job
from cotdistill.runfolder.stages.prepare import inputs_of, prepared_for
from cotdistill.runfolder.stages.stage import Declared, Stage, StudyFiles


def _jobs(files: StudyFiles) -> Iterator[Declared]:
    for run, layout, made in files.runs:
        if made.train is None or made.train_command is None or run.step is not None:
            continue
        command = made.train_command
        block = made.distillation
        kd_file = str(distillation_path(Path(layout.train_file)))
        more = {kd_file: block.text} if block else {}
        text = "".join([made.train.text, *more.values()])
        needs = (*prepared_for(files.resolved, run), *(block.needs if block else ()))
        yield Declared(
            Job(
                "train", run.trained, command=command.command, env=command.env, gpus=command.gpus,
                nodes=command.nodes,
                file=layout.train_file, sha256=sha256_of_text(text),
                output=layout.checkpoint, arm=run.arm, needs=needs,
                inputs=inputs_of(files.resolved, run),
            ),
            made.train.text,
            more,
        )  # fmt: skip


def _fault(output: Path) -> str:
    from cotdistill.hosts.llamafactory.outputs import training_fault

    train_file = output.parents[1] / "train" / f"{output.name}.yaml"
    if distillation_path(train_file).is_file() and not (output / SUMMARY).is_file():
        return f"no {SUMMARY} was written: this was plain fine-tuning, without the teacher"
    return training_fault(output)


def _tidy(output: Path) -> int:
    from cotdistill.hosts.llamafactory.resume import drop_optimizer_states, store_last_weights_once

    return drop_optimizer_states(output) + store_last_weights_once(output)


TRAIN = Stage(
    name="train",
    about="train a student",
    program="llamafactory-cli",
    extra="train",
    remakes=True,
    jobs=_jobs,
    host="llamafactory",
    imports="import torchaudio; from llamafactory.train.tuner import run_exp",
    is_in=lambda study: bool(study.trained_arms()),
    fault=_fault,
    tidy=_tidy,
)
