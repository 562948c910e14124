"""The rounds of a loop: what each is called, where its files lie, and its configuration files.

Round 0 is the model that the loop starts from. Round R samples the model of round R-1, is trained
on what the filter keeps of that, and is scored on the development questions. The round with the
best score becomes the loop's model: `checkpoints/<run>` is then a link to its weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cotdistill.distill.settings import Teacher
from cotdistill.files.atomic import write_if_changed
from cotdistill.files.jsonl import row_line
from cotdistill.runfolder.config_files import RunConfigs, RunFiles
from cotdistill.runfolder.distillation import Weights, block_of
from cotdistill.runfolder.job import JobId
from cotdistill.runfolder.layout import Layout, layout_of
from cotdistill.runfolder.round_paths import FOLDER, signals_of
from cotdistill.studies.question_sets import QuestionSet
from cotdistill.studies.resolve import Resolved
from cotdistill.studies.runs import UNTOUCHED, UNTRAINED, Run
from cotdistill.studies.study import Study

if TYPE_CHECKING:
    from cotdistill.studies.requests import Loop

PROGRAM = "{question} Let's write a program."
"""How the packaged tasks of programs ask (task_configs/_program.yaml), as GSI does."""
_RECORD = ("id", "dataset", "split", "question", "gold", "kind", "options", "rationale", "meta")


@dataclass(frozen=True)
class Round:
    """One round: its run with the number of the round, its files, and where its weights lie.

    `weights` is a folder of the run folder or a model of a hub; `made_by` the job that writes it.
    """

    run: Run
    layout: Layout
    made: RunFiles
    weights: str
    made_by: tuple[JobId, ...]

    @property
    def number(self) -> int:
        """Which round: 0 is the model that the loop starts from."""
        assert self.run.round is not None
        return self.run.round

    @property
    def name(self) -> str:
        """The name of its files and jobs."""
        return self.run.name


def rounds_of(resolved: Resolved, configs: RunConfigs, root: Path, run: Run) -> list[Round]:
    """Return all rounds of a loop, the one that it starts from first."""
    loop = run.loop
    assert loop is not None
    rounds = [_first(resolved, configs, root, run, loop)]
    tasks = resolved.study.dev_tasks(loop)
    model = layout_of(root, run).model
    for number in range(1, loop.rounds + 1):
        here = replace(run, round=number, tasks=tasks)
        before = rounds[-1]
        if loop.from_ == "previous":
            model = _absolute(root, before)
        layout = Layout(root, here.name, model, here.name, scores_in=f"{FOLDER}/scores")
        made = configs.files(here, layout)
        if loop.capture:
            made = _from_signals(resolved, made, here, root)
        stage, weights = ("export", layout.exported) if made.export else ("train", layout.weights)
        rounds.append(Round(here, layout, made, weights, ((stage, here.name),)))
    return rounds


def _from_signals(resolved: Resolved, made: RunFiles, run: Run, root: Path) -> RunFiles:
    """Return a round's files with the teacher's stored signals in place of the teacher."""
    kd = resolved.study.recipes[run.recipe].kd
    assert kd is not None
    signals = Teacher(signals=f"{root}/{signals_of(run.name)}")
    block = block_of(resolved, kd.model_copy(update={"teacher": signals}), root, _no_weights)
    return replace(made, distillation=block)


def _no_weights(run: Run) -> Weights:
    raise AssertionError(f"stored signals need no weights of {run.name}")


def _first(resolved: Resolved, configs: RunConfigs, root: Path, run: Run, loop: Loop) -> Round:
    """Return round 0: the run of the arm that the loop starts from, or the student as it is."""
    tasks = resolved.study.dev_tasks(loop)
    if loop.start is None:
        here = Run(run.student, UNTOUCHED, UNTRAINED, None, {}, tasks, round=0)
        merged = run.student.merged
        model = f"{root}/{merged}" if merged else str(run.student.model)
        layout = Layout(root, here.name, model, scores_in=f"{FOLDER}/scores")
        made = configs.evaluation(here, layout, model)
        made_by: tuple[JobId, ...] = (("merge", run.student.name),) if merged else ()
        return Round(here, layout, made, merged or model, made_by)
    start = replace(run, arm=loop.start, loop=None)
    where = layout_of(root, start)
    merges = configs.files(start, where).export is not None
    stage, weights = ("export", where.exported) if merges else ("train", where.weights)
    here = replace(start, round=0, tasks=tasks)
    layout = Layout(root, here.name, where.model, here.name, scores_in=f"{FOLDER}/scores")
    made = configs.evaluation(here, layout, f"{root}/{weights}")
    return Round(here, layout, made, weights, ((stage, start.name),))


def _absolute(root: Path, round_: Round) -> str:
    return f"{root}/{round_.weights}" if round_.made_by else round_.weights


def sampling_seed(loop: Loop, run: Run, number: int) -> int:
    """Return the random seed of a round's samples, from the study's seeds and the round."""
    text = f"{loop.sample.seed} {run.seed} {number}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def asked_as(study: Study, loop: Loop) -> str:
    """Return the instruction of a loop's samples and rows, with `{question}` in its place.

    It is the study's; where that has none, programs are asked for as the packaged tasks do.
    """
    instruction = study.prompt.instruction
    if loop.sample.format == "program" and instruction == "none":
        return PROGRAM
    return "" if instruction == "none" else instruction


def question_source(study: Study, name: str) -> str:
    """Return what `sample` is given for a set: a file without its development questions.

    A benchmark of which none are kept for development is read as it is.
    """
    declared = study.questions[name]
    if declared.benchmark is not None and not declared.dev:
        return f"{declared.benchmark}:{declared.split}"
    return f"data/questions/{name}.jsonl"


def write_questions(root: Path, study: Study, resolved: Resolved) -> None:
    """Write the questions that loops sample, without those for development."""
    for name in sampled_sets(study):
        source = question_source(study, name)
        if source.endswith(".jsonl"):
            write_if_changed(root / source, _questions_text(resolved.sets[name]))


def _questions_text(declared: QuestionSet) -> str:
    from cotdistill.benchmarks.choices import record_key

    held_out = declared.dev_keys
    rows = (r for r in declared.rows if record_key(r) not in held_out)
    lines = []
    for row in rows:
        record = {key: row.get(key) for key in _RECORD} | {"split": row.get("split") or "train"}
        lines.append(row_line({key: value for key, value in record.items() if value is not None}))
    return "".join(lines)


def sampled_sets(study: Study) -> Iterator[str]:
    """Yield the question sets that loops sample, each once."""
    seen: dict[str, None] = {}
    for loop in study.loops().values():
        asked = loop.sample.questions
        seen.update(dict.fromkeys([asked] if isinstance(asked, str) else asked))
    yield from seen
