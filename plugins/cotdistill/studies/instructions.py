"""The words that a study asks its questions with, from what `prompt:` calls them."""

from __future__ import annotations

import re
from pathlib import Path

from cotdistill.benchmarks.instruction import ACCEPTS
from cotdistill.errors import Fault, StudyError, did_you_mean
from cotdistill.files.bundle import bundle_files, by_name
from cotdistill.hosts.lm_eval.task_files import file_key

OWN = "task"
"""The instruction that leaves every task its own words."""
_ONE_WORD = re.compile(r"[A-Za-z][\w-]*\Z")


def instruction_files() -> dict[str, Path]:
    """Return the named instructions of all bundles.

    >>> "boxed" in instruction_files()
    True
    """
    files = bundle_files("templates", "prompts/ask/*.txt")
    return by_name("the instruction", ((path.stem, path) for path in files))


def words_of(instruction: str, where: str) -> str:
    """Return the words of an instruction: those of its file if it has one; none has no words.

    Raises:
        StudyError: it is one word and no file is called so.

    >>> words_of("none", "s.yaml"), words_of("Think first.", "s.yaml")
    ('', 'Think first.')
    """
    if instruction == "none":
        return ""
    if not _ONE_WORD.match(instruction):
        return instruction
    known = instruction_files()
    if instruction not in known:
        wrong = f"no instruction '{instruction}' in templates/prompts/ask/"
        hint = did_you_mean(instruction, ["none", *known])
        raise StudyError(Fault(where, wrong, "a name, or the words themselves", hint))
    return known[instruction].read_text(encoding="utf-8").removesuffix("\n")


def accepts_instruction(path: Path) -> bool:
    """Whether a task file asks with an instruction from outside."""
    asked = file_key(path, "doc_to_text")
    return isinstance(asked, str) and ACCEPTS in asked
