"""The words around a question: what an instruction puts before and after it.

Training rows and tasks use the same function, so that both ask the same. In a task's `doc_to_text`
the words are `{{before}}` and `{{after}}`; a task without them asks in its own words only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cotdistill.benchmarks.choices import Form, as_tasks_ask, with_choices
from cotdistill.benchmarks.question import asked_only

Choices = Literal["data", "tasks"]
"""How rows write answer choices: as their source has them, or as the packaged tasks ask."""

PLACE = "{question}"
ACCEPTS = "after"
"""The name in a `doc_to_text` by which a task accepts an instruction from outside."""


@dataclass(frozen=True)
class Frame:
    r"""What is asked before and after a question, and how its answer choices are written.

    >>> Frame("", "\\n\\nThink first.").around("1 + 1?")
    '1 + 1?\\n\\nThink first.'
    """

    before: str = ""
    after: str = ""
    choices: Choices = "data"

    def __bool__(self) -> bool:
        return bool(self.words) or self.choices == "tasks"

    @property
    def words(self) -> str:
        """The words around a question, in one text."""
        return self.before + self.after

    def around(self, question: str) -> str:
        """Return a question with its instruction, in place of one that it brings along.

        >>> frame_of("{question} Let's write a program.").around("2 + 2? Let's write a program.")
        "2 + 2? Let's write a program."
        """
        return f"{self.before}{asked_only(question) if self.words else question}{self.after}"

    def asked(self, question: str, options: Mapping[str, Any] | None, form: Form = "lines") -> str:
        r"""Return a question with its choices and its instruction.

        >>> Frame("", " Think.").asked("What is cold?", {"A": "ice", "B": "fire"})
        'What is cold?\n\nAnswer choices:\nA. ice\nB. fire Think.'
        >>> Frame(choices="tasks").asked("What is cold? Answer choices: (A) ice (B) fire", None)
        'What is cold?\n\nAnswer choices:\nA. ice\nB. fire'
        """
        write = as_tasks_ask if self.choices == "tasks" else with_choices
        return self.around(write(question, options, form))


def frame_of(instruction: str) -> Frame:
    r"""Return the words of an instruction: around `{question}`, else after a blank line.

    >>> frame_of("Question: {question}\nAnswer:").before
    'Question: '
    >>> frame_of("Think first.").after
    '\n\nThink first.'
    """
    before, found, after = instruction.partition(PLACE)
    if found:
        return Frame(before, after)
    return Frame("", f"\n\n{instruction}" if instruction else "")


def instruction_words(instruction: str | None) -> dict[str, str]:
    """Return the fields that a document gets for an instruction from outside; none without one."""
    if instruction is None:
        return {}
    frame = frame_of(str(instruction))
    return {"before": frame.before, "after": frame.after}
