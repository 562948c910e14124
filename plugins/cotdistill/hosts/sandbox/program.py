"""Find the program in a response, and grade what it printed with the grader of all answers."""

from __future__ import annotations

import re
from collections.abc import Mapping

from cotdistill.grading.grade import Grade, grade
from cotdistill.grading.kinds import Kind
from cotdistill.hosts.request import split_thought
from cotdistill.hosts.sandbox.execution import Execution

_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^\n`]*$", re.MULTILINE)
_PYTHON = frozenset({"python", "python3", "py", "pycon", "sage"})
_CODE = re.compile(
    r"""\s*(?:\#|@|(?:from|import|def|class|for|while|if|try|with|print|return|assert|async)\b
        |[A-Za-z_][\w.\[\], ]*\s*(?:[-+*/|&]|//|\*\*)?=(?!=)      # an assignment
        |[A-Za-z_][\w.]*\(.*)""",
    re.VERBOSE,
)
_PROSE_AFTER = re.compile(
    r"^(?:the (?:final )?answer\b|(?:answer|output|question):|this (?:program|code)\b).*",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)


def program_of(response: str) -> str:
    r"""Return the program that a response holds: the last fenced block of Python, or bare code.

    A block that never closes goes to the end; a block without a language counts if none is named
    Python. Without a fence the text is the program, less sentences before and after it.

    >>> program_of("Let us see.\n```python\nprint(6 * 7)\n```\nIt prints 42.")
    'print(6 * 7)'
    >>> program_of("Let's write a program.\nx = 6\nprint(x * 7)\nThe answer is 42.")
    'x = 6\nprint(x * 7)'
    """
    text = split_thought(response)[0]
    blocks = _blocks(text)
    named = [code for language, code in blocks if language in _PYTHON]
    unnamed = [code for language, code in blocks if not language]
    if named or unnamed:
        return (named or unnamed)[-1].strip("\n")
    if blocks:
        return ""  # a program in another language
    lines = text.splitlines()
    first = next((place for place, line in enumerate(lines) if _CODE.match(line)), 0)
    return _PROSE_AFTER.sub("", "\n".join(lines[first:])).strip("\n")


def grade_program(
    execution: Execution,
    gold: str,
    *,
    kind: Kind = "auto",
    options: Mapping[str, str] | None = None,
    tolerance: float | None = None,
) -> Grade | None:
    """Grade the answer that a program printed; None if the sandbox failed and nothing is known.

    What was printed before an exception or a limit counts, as it would for a person who reads it.

    >>> grade_program(Execution("ok", "Total cost of 3 items: 36"), "36").outcome
    'correct'
    >>> grade_program(Execution("raised", "", detail="NameError"), "36").rule
    'program/raised'
    """
    if execution.verdict == "sandbox_failed":
        return None
    answer = execution.answer
    rule = f"program/{execution.verdict}"
    if not answer:
        return Grade(False, "no_answer", None, rule, None)
    sentence = answer if ":" in answer or " is " in answer else f"The answer is {answer}"
    found = grade(sentence, gold, kind=kind, options=options, tolerance=tolerance)
    if not found.correct and answer.startswith("[") and answer.endswith("]"):
        # a list of Python's, not an interval
        sentence = f"The answer is ({answer[1:-1]})"
        found = grade(sentence, gold, kind=kind, options=options, tolerance=tolerance)
    return Grade(found.correct, found.outcome, found.answer, f"{rule}/{found.rule}", None)


def _blocks(text: str) -> list[tuple[str, str]]:
    """Yield language and content of each fenced block, in order."""
    blocks = []
    at = 0
    while opened := _FENCE.search(text, at):
        start = opened.end() + 1
        close = re.compile(rf"^[ \t]*{opened[1]}[ \t]*$", re.MULTILINE).search(text, opened.end())
        end = close.start() if close else len(text)
        blocks.append((opened[2].lower(), text[start:end]))
        at = close.end() if close else len(text)
    return blocks
