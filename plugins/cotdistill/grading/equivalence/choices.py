"""Answers that pick one of a few: choice letters, option texts, yes and no."""

from __future__ import annotations

import re
from collections.abc import Mapping

from cotdistill.grading.equivalence.normalize import as_words

_DRESSED = re.compile(
    r"\\+(?:text[a-z]*|math[a-z]+|mbox|boxed|fbox|boldsymbol|displaystyle|left|right)(?![a-zA-Z])"
    r"|\\+[()\[\]]|[*$`{}]"
)
_LETTER = re.compile(
    r"(?:the\s+)?(?:correct\s+)?(?:option|choice|answer|ans)?\s*(?:is|:)?\s*"
    r"(?:[(\[{]\s*([A-Za-z])\s*[)\]}]|([A-Za-z]))"
    r"(?:\s*[).:]\s*(\S.*)?|\s+(?:is\s+(?:correct|right|true)).*|(?<=[)\]}])\s+(\S.*)|\s*)",
    re.DOTALL | re.IGNORECASE,
)
_YES = frozenset(("yes", "true", "t", "y", "correct", "right"))
_NO = frozenset(("no", "false", "f", "n", "incorrect", "wrong", "not"))
_SURE = frozenset(("yes", "true", "no", "false"))


def choice_letter(text: str) -> tuple[str, str] | None:
    r"""Read a choice letter and the option text after it; None where there is no letter.

    >>> choice_letter(r"\text{(C)}"), choice_letter("(D) Alina"), choice_letter("**b**")
    (('C', ''), ('D', 'Alina'), ('B', ''))
    >>> choice_letter("A cat"), choice_letter("blue")
    (None, None)
    """
    bare = _DRESSED.sub("", text).strip()
    match = _LETTER.fullmatch(bare)
    if match is None:
        return None
    return (match[1] or match[2]).upper(), (match[3] or match[4] or "").strip()


def gold_option(gold: str, options: Mapping[str, str]) -> tuple[str, str] | None:
    """Find which option a gold means, by its letter or by its whole text.

    >>> gold_option("(B)", {"A": "red", "B": "blue"}), gold_option("red", {"A": "red"})
    (('B', 'blue'), ('A', 'red'))
    """
    read = choice_letter(gold)
    for letter, text in options.items():
        if read is not None and read[0] == letter.strip("() ").upper():
            return read[0], text
    for letter, text in options.items():
        if as_words(text) == as_words(gold):
            return letter, text
    return None


def truth(text: str, *, loose: bool) -> bool | None:
    r"""Read yes/true or no/false; `loose` takes single letters and `correct` too.

    >>> truth("Yes!", loose=False), truth(r"\text{False}", loose=False), truth("t", loose=True)
    (True, False, True)
    >>> truth("none", loose=True) is None
    True
    """
    words = as_words(text).split()
    if not words or (len(words) > 1 and words[0] not in _SURE):
        return None
    first = words[0].rstrip(".,;:!")
    if first in (_YES if loose else _YES & _SURE):
        return True
    return False if first in (_NO if loose else _NO & _SURE) else None
