"""Filler that makes a rationale longer and says nothing: a control for the length of rationales."""

from __future__ import annotations


def padded(text: str, at: int, filler: str, times: int) -> str:
    r"""Return a text with filler before a place in it, as often as asked, in its own line.

    Filler before the conclusion costs a student as many tokens before its answer as a longer
    rationale would.

    >>> padded("Half of 8 is 4. The answer is 4", 16, "...", 3)
    'Half of 8 is 4.\n... ... ...\nThe answer is 4'
    >>> padded("The answer is 4", 0, ".", 0)
    'The answer is 4'
    """
    if times <= 0:
        return text
    before, after = text[:at].rstrip(), text[at:].lstrip()
    return "\n".join(part for part in (before, " ".join([filler] * times), after) if part)
