"""State reset: beginnings of a reference solution that the student resumes from.

A beginning ends where a line or a sentence ends, never holds the reference answer, and is at most
60 % of the solution, so that resuming is still reasoning.
"""

from __future__ import annotations

import re

from cotdistill.grading.kinds import Kind

MOST = 0.6
_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+(?=\S)")
_VALUE = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def prefixes_of(rationale: str, gold: str, kind: Kind = "auto") -> list[str]:
    r"""Return the beginnings to resume from, the shortest first; none of a solution of one step.

    >>> prefixes_of("He has 6 trays.\nEach holds 4.\nThat is 6 * 4 = 24.\nSo 24 buns.", "24")
    ['He has 6 trays.\n', 'He has 6 trays.\nEach holds 4.\n']
    >>> prefixes_of("6 * 4 = 24", "24")
    []
    """
    text = rationale.strip()
    found: list[str] = []
    for end in _ends(text):
        prefix = text[:end]
        if end > MOST * len(text) or holds_answer(prefix, gold, kind):
            break
        found.append(prefix)
    return found


def holds_answer(text: str, gold: str, kind: Kind = "auto") -> bool:
    r"""Whether a text already holds the reference answer, as a value or as it is written.

    >>> holds_answer("That makes 1,200 in all.", "1200"), holds_answer("That makes 12.", "1200")
    (True, False)
    >>> holds_answer(r"so x = \frac12", r"\frac12"), holds_answer("A or B?", "A", "letter")
    (True, False)
    """
    gold = gold.strip()
    if not gold:
        return False
    if kind in ("letter", "boolean"):
        return bool(re.search(rf"answer\s+is\W*{re.escape(gold)}\b", text, re.IGNORECASE))
    wanted = gold.replace(",", "").rstrip(".")
    numbers = {value.replace(",", "").rstrip(".") for value in _VALUE.findall(text)}
    if _VALUE.fullmatch(gold):
        value = float(wanted)
        return any(float(number) == value for number in numbers if number not in ("", "-"))
    return wanted in text.replace(",", "")


def _ends(text: str) -> list[int]:
    """Where a line ends; in a text of one line, where a sentence ends."""
    ends = [place + 1 for place, character in enumerate(text) if character == "\n"]
    ends = [end for end in ends if text[:end].strip() and not text[:end].endswith("\n\n")]
    return ends or [found.end() for found in _SENTENCE_END.finditer(text)]
