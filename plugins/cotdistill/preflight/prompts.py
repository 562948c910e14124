"""Check that every run of a run folder is evaluated with the prompt it is trained with."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cotdistill.arms.rows import COLUMNS, bare_question
from cotdistill.benchmarks.instruction import frame_of
from cotdistill.distill.seq2seq_file import STAGE as SEQ2SEQ
from cotdistill.errors import Fault, FaultsError
from cotdistill.files.bundle import bundle_folders
from cotdistill.files.jsonl import Row, read_rows
from cotdistill.files.yamls import read_yaml
from cotdistill.hosts.lm_eval.tasks import LoadedTask, TaskBroken, TaskFolder
from cotdistill.hosts.prompt_parity import Asked, evaluated_of, parity_fault, trained_of
from cotdistill.hosts.tokenizer import tokenizer_if_here
from cotdistill.preflight.tasks import data_or_examples
from cotdistill.runfolder.manifest import ManifestRun, read_manifest

_ROWS = 100  # training rows searched for the instruction that a task puts around its question


@dataclass(frozen=True)
class PromptCheck:
    """Faults in the prompts of a run folder, notes, and tokenizers that were not available.

    `notes` name tasks whose instruction no training row has: that is legitimate, but the student
    was then never taught this form of answer.
    """

    faults: tuple[Fault, ...]
    notes: tuple[str, ...]
    unchecked: tuple[str, ...]


def check_prompts(folder: Path) -> PromptCheck:
    """Compare the training and the evaluation prompt of every run, once per distinct pair.

    The tokenizer is the checkpoint's if there is one, else the one that training will load.
    """
    faults: list[Fault] = []
    unchecked: list[str] = []
    tasks: dict[tuple[str, str], None] = {}
    seen: set[str] = set()
    for run in read_manifest(folder):
        files = run.files
        if files.train is None:
            continue
        train = read_yaml(folder / files.train)
        evaluation = read_yaml(folder / files.eval)
        first = next(iter(_training_rows(folder, files.data)), {})
        if train.get("stage") == SEQ2SEQ:
            faults += _seq2seq_fault(folder / files.eval, _asked(first, evaluation), evaluation)
            continue
        trained = trained_of(train, _typical_response(first))
        trained = replace(trained, system=first.get("system") or None)
        evaluated = evaluated_of(evaluation)
        asked = _asked(first, evaluation)
        place = _tokenizer_place(folder, run, train)
        for task in _names(evaluation.get("tasks", [])) if asked is None else ():
            tasks[task, files.data or ""] = None
        pair = repr((place, trained, evaluated, asked and asked.in_training))
        if pair in seen:
            continue
        seen.add(pair)
        try:
            tokenizer = tokenizer_if_here(place)
        except FaultsError as error:
            faults += error.faults
            continue
        if tokenizer is None:
            unchecked.append(place)
            continue
        try:
            fault = parity_fault(f"{folder / files.eval}", tokenizer, trained, evaluated, asked)
        except ValueError as error:  # LLaMA-Factory does not know the template
            wrong = f"its template cannot be used ({error})"
            fault = Fault(f"{folder / files.train}:template", wrong)
        if fault:
            faults.append(fault)
    notes = _untrained_instructions(folder, list(tasks))
    return PromptCheck(tuple(dict.fromkeys(faults)), tuple(notes), tuple(dict.fromkeys(unchecked)))


def _seq2seq_fault(place: Path, asked: Asked | None, evaluation: Row) -> list[Fault]:
    """Compare what an encoder reads in training and evaluation: the bare words of a question."""
    if evaluation.get("apply_chat_template"):
        wrong = "asks an encoder-decoder through a chat template, and it was trained without"
        return [Fault(f"{place}:apply_chat_template", wrong, "false")]
    if asked is None or asked.in_training.strip() == asked.in_evaluation.strip():
        return []
    wrong = f"asks {asked.in_evaluation[:80]!r}, trained with {asked.in_training[:80]!r}"
    return [Fault(str(place), wrong, "the same words")]


def _asked(row: Row, evaluation: Row) -> Asked | None:
    """Return a row's question as both sides ask it, None where tasks ask in their own words."""
    metadata = evaluation.get("metadata")
    instruction = metadata.get("instruction") if isinstance(metadata, dict) else None
    if not isinstance(instruction, str) or not row:
        return None
    in_training = str(row[COLUMNS["prompt"]])
    return Asked(in_training, frame_of(instruction).around(bare_question(row)))


def _untrained_instructions(folder: Path, used: list[tuple[str, str]]) -> list[str]:
    """Return a note for each task whose instruction no row of a training file has."""
    notes: dict[str, None] = {}
    with data_or_examples():
        tasks = TaskFolder(*bundle_folders("task_configs"))
        loaded: dict[str, LoadedTask | None] = {}
        for name, data in used:
            rows = _training_rows(folder, data)
            for member in tasks.members(name) if rows else []:
                if member not in loaded:
                    loaded[member] = _loaded(tasks, member)
                task = loaded[member]
                if task is not None and (instruction := _instruction(task)):
                    before, after = instruction
                    turns = [str(row.get("instruction", "")).strip() for row in rows]
                    if not any(t.startswith(before) and t.endswith(after) for t in turns):
                        text = f"{member} adds the instruction {_shown(instruction)}"
                        notes[f"{text}; no row of {data} has it"] = None
    return list(notes)


def _loaded(tasks: TaskFolder, name: str) -> LoadedTask | None:
    try:
        return tasks.load(name)
    except TaskBroken:  # reported by `check_tasks`
        return None


def _instruction(task: LoadedTask) -> tuple[str, str] | None:
    """Return the text before and after the question, or None if there is none."""
    question = str(task.documents[0].get("question", "")).strip()
    before, found, after = task.plain.partition(question)
    return (before.strip(), after.strip()) if found and (before + after).strip() else None


def _shown(instruction: tuple[str, str]) -> str:
    text = " ... ".join(part for part in instruction if part)
    return repr(text if len(text) <= 80 else "..." + text[-77:])


def _names(tasks: Any) -> list[str]:
    listed = tasks.split(",") if isinstance(tasks, str) else tasks
    return [str(name).strip() for name in listed]


def _training_rows(folder: Path, data: str | None) -> list[Row]:
    if not data or not (folder / data).is_file():
        return []
    return list(itertools.islice(read_rows(folder / data), _ROWS))


def _tokenizer_place(folder: Path, run: ManifestRun, train: Row) -> str:
    for output in (run.outputs.export, run.outputs.train):
        if output and (folder / output / "tokenizer_config.json").is_file():
            return str(folder / output)
    return str(train["model_name_or_path"])


def _typical_response(row: Row) -> str:
    """Return a response with think tags if the training data has them: they change the prompt."""
    return "<think>\nThink.\n</think>\n\nIt is 2." if "<think>" in str(row) else "It is 2."
