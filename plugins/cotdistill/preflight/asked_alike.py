"""Whether a study's tasks ask as its training rows do, as far as its files say it.

`check --deep` compares the prompts byte for byte with the students' own tokenizers; this needs no
tokenizer, and finds the difference that costs most: an instruction that only the evaluation has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from cotdistill.benchmarks.choices import apart, as_tasks_ask
from cotdistill.benchmarks.instruction import frame_of
from cotdistill.errors import Fault
from cotdistill.hosts.lm_eval.task_files import file_key, tasks_behind
from cotdistill.preflight.contamination import questions_of
from cotdistill.studies.instructions import OWN, accepts_instruction, words_of
from cotdistill.studies.resolved_arm import ResolvedArm
from cotdistill.studies.runs import factors_of
from cotdistill.studies.selection import meets
from cotdistill.studies.study import Study, TaskUse

_QUESTION = "{{question}}"
_IN_LINES = "Answer choices:{% for"
"""What the question of a packaged task says that writes its choices in lines."""
_READ = 20  # rows of an arm in which choices are looked for
_NAMED = 3


def asked_otherwise(study: Study, place: str) -> Iterator[Fault]:
    """Yield a fault for each task that asks in its own words without the study declaring it."""
    if study.prompt.of_tasks == OWN:
        return
    folders = [Path(folder) for folder in study.evaluation.include_path]
    words = words_of(study.prompt.of_tasks, f"{place}:prompt")
    uses = {use.task: use for use in study.evaluation.tasks if not use.own_words}
    for use in uses.values():
        if own := _tasks_in_own_words(use, folders, words):
            how = "asks in its own words" if len(own) == 1 else "ask in their own words"
            wrong = f"{', '.join(own)} {how}, which no training row has"
            remedy = f"declare it: {{{use.task}: {{own_words: true}}}}"
            expected = "a task that takes the study's prompt"
            yield Fault(f"{place}:evaluation.tasks", wrong, expected, remedy)


def choices_otherwise(
    study: Study, arms: Iterable[ResolvedArm], folder: Path | None = None
) -> Iterator[Fault]:
    """Yield a fault for each form in which rows write choices, where a task of theirs has another.

    Rows are read as in `compare_arms`; those that are not here are not compared.
    """
    if study.prompt.choices == "tasks":
        return
    found: dict[str, list[str]] = {}
    examples: dict[str, str] = {}
    for arm in arms:
        tasks = _tasks_in_lines(study, arm.name)
        rows = questions_of(arm, folder) if tasks else None
        for text in islice(rows or (), _READ):
            if apart(text)[1] and as_tasks_ask(text, None) != text:
                shown = text[text.lower().rindex("answer choices") :][:60]
                found.setdefault(tasks[0], []).append(arm.name)
                examples.setdefault(tasks[0], shown)
                break
    for task, names in found.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        wrong = f"rows have {examples[task]!r} where the task {task} has a line for each choice"
        where = f"arm {', '.join(names[:_NAMED])}{more}"
        yield Fault(where, wrong, "the same in both", "say prompt: {choices: tasks} in the study")


def declared_differences(study: Study) -> Iterator[str]:
    """Yield what a study asks otherwise in its evaluation, on purpose."""
    other = study.prompt.evaluation
    if other and other.instruction is not None:
        asked = "as its own file says" if other.instruction == OWN else repr(other.instruction)
        rows = "bare questions" if study.prompt.instruction == "none" else "the study's prompt"
        yield f"declared: training rows ask {rows}, and each task asks {asked}"
    if other and other.system is not None:
        yield f"declared: the evaluation has the system prompt {other.system!r}"
    own = [use.task for use in study.evaluation.tasks if use.own_words]
    if own:
        yield f"declared: asked in their own words: {', '.join(own)}"


def _tasks_in_own_words(use: TaskUse, folders: list[Path], words: str) -> list[str]:
    """Return the tasks behind a use that take no instruction and have other words than these."""
    if use.task.startswith("dev_"):
        return []
    members = tasks_behind([use.task], folders)
    if not members:  # lm-eval's own
        return [use.task]
    same = frame_of(words).around(_QUESTION)
    return [
        name
        for name, path in members.items()
        if not accepts_instruction(path) and file_key(path, "doc_to_text") != same
    ]


def _tasks_in_lines(study: Study, arm: str) -> list[str]:
    """Return the tasks of an arm that write choices in lines, without those in own words."""
    folders = [Path(folder) for folder in study.evaluation.include_path]
    factors = factors_of(study, arm)
    asked = []
    for use in study.evaluation.tasks:
        if use.own_words or not meets(use.when, factors):
            continue
        base = study.questions.get(use.task.removeprefix("dev_"))
        name = use.task
        if base is not None and use.task.startswith("dev_"):
            name = base.task or f"cot_{base.benchmark}"
        files = tasks_behind([name], folders).values()
        asked += [use.task for path in files if _IN_LINES in str(file_key(path, "doc_to_text"))]
    return asked
