"""The words around a question: what an instruction puts before and after it.

Training rows and tasks use the same function, so that both ask the same. In a task's `doc_to_text`
the words are `{{before}}` and `{{after}}`; a task without them asks in its own words only.
"""

from __future__ import annotations

from dataclasses import dataclass

from cotdistill.benchmarks.question import asked_only

PLACE = "{question}"
ACCEPTS = "after"
"""The name in a `doc_to_text` by which a task accepts an instruction from outside."""


@dataclass(frozen=True)
class Frame:
    r"""What is asked before and after a question.

    >>> Frame("", "\\n\\nThink first.").around("1 + 1?")
    '1 + 1?\\n\\nThink first.'
    """

    before: str = ""
    after: str = ""

    def __bool__(self) -> bool:
        return bool(self.before or self.after)

    def around(self, question: str) -> str:
        """Return a question with its instruction, in place of one that it brings along.

        >>> frame_of("{question} Let's write a program.").around("2 + 2? Let's write a program.")
        "2 + 2? Let's write a program."
        """
        return f"{self.before}{asked_only(question) if self else question}{self.after}"


def frame_of(instruction: str) -> Frame:
    r"""Return the words of an instruction: around `{question}`, else after a blank line.

    >>> frame_of("Question: {question}\nAnswer:")
    Frame(before='Question: ', after='\nAnswer:')
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
