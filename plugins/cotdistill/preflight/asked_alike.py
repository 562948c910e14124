"""Whether a study's tasks ask as its training rows do, as far as its files say it.

`check --deep` compares the prompts byte for byte with the students' own tokenizers; this needs no
tokenizer, and finds the difference that costs most: an instruction that only the evaluation has.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cotdistill.benchmarks.instruction import frame_of
from cotdistill.errors import Fault
from cotdistill.hosts.lm_eval.task_files import file_key, tasks_behind
from cotdistill.studies.instructions import OWN, accepts_instruction, words_of
from cotdistill.studies.study import Study, TaskUse

_QUESTION = "{{question}}"


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
