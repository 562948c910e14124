"""Whether a study's tasks ask as its training rows do, as far as its files say it.

`check --deep` compares the prompts byte for byte with the students' own tokenizers; this needs no
tokenizer, and finds the difference that costs most: an instruction that only the evaluation has.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cotdistill.errors import Fault
from cotdistill.hosts.lm_eval.task_files import tasks_behind
from cotdistill.studies.instructions import OWN, accepts_instruction
from cotdistill.studies.study import Study, TaskUse


def asked_otherwise(study: Study, place: str) -> Iterator[Fault]:
    """Yield a fault for each task that asks in its own words without the study declaring it."""
    if study.prompt.of_tasks == OWN:
        return
    folders = [Path(folder) for folder in study.evaluation.include_path]
    uses = {use.task: use for use in study.evaluation.tasks if not use.own_words}
    for use in uses.values():
        if own := _tasks_in_own_words(use, folders):
            wrong = f"{', '.join(own)} asks in its own words, which no training row has"
            remedy = f"declare it: {{{use.task}: {{own_words: true}}}}"
            expected = "a task that takes the study's prompt"
            yield Fault(f"{place}:evaluation.tasks", wrong, expected, remedy)


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


def _tasks_in_own_words(use: TaskUse, folders: list[Path]) -> list[str]:
    if use.task.startswith("dev_"):
        return []
    members = tasks_behind([use.task], folders)
    if not members:  # lm-eval's own
        return [use.task]
    return [name for name, path in members.items() if not accepts_instruction(path)]
