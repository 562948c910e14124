"""What a guided sample must not show: that it was given an answer, or words that are not its own.

Each guard returns why a text is not used, or an empty text. A student is trained on the plain
question, so a text that refers to a hint would teach it to make hints up.
"""

from __future__ import annotations

import re

_GIVEN = re.compile(
    r"(?:given|known|provided|stated|expected|target|correct|reference) "
    r"(?:final )?(?:answer|result|solution|value)"
    r"|as (?:was |is )?(?:given|provided|stated) (?:in|by|above)"
    r"|(?:answer|result) (?:that )?(?:was|is|were) (?:given|provided|known)"
    r"|reference solution|according to the (?:reference|solution)",
    re.IGNORECASE,
)
_TEACHER = re.compile(
    r"\bteacher\b|my (?:earlier|previous|first) (?:attempt|answer|solution|try)"
    r"|(?:you|thank you for) (?:pointed|pointing) (?:it |that |this )?out|you(?:'re| are) right",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w+")
_GRAM = 8
MOST_SHARED = 0.8


def mentions_hint(text: str, question: str) -> str:
    """Return the words by which a text refers to a result that it was given.

    >>> mentions_hint("Since the known result is 24, we multiply.", "How many?")
    "it refers to a hint ('known result')"
    """
    found = _GIVEN.search(text)
    if found and found[0].lower() not in question.lower():
        return f"it refers to a hint ('{found[0]}')"
    return ""


def mentions_teacher(text: str, correction: str) -> str:
    """Return the words by which a text refers to its teacher, or that it quotes it.

    >>> mentions_teacher("My earlier attempt was wrong.", "Check step 2.")
    "it refers to the correction ('My earlier attempt')"
    """
    found = _TEACHER.search(text)
    if found:
        return f"it refers to the correction ('{found[0]}')"
    if shared_share(correction, text) > MOST_SHARED:
        return "it quotes the correction"
    return ""


def copies(text: str, reference: str) -> str:
    """Return that a text is mostly the reference solution, word by word.

    >>> copies("a b c d e f g h i j", "a b c d e f g h i j"), copies("a b c", "d e f")
    ('it copies the reference solution (100% of its word sequences)', '')
    """
    share = shared_share(text, reference)
    return f"it copies the reference solution ({share:.0%} of its word sequences)" * (
        share > MOST_SHARED
    )


def shared_share(text: str, other: str) -> float:
    """Return the share of a text's sequences of eight words that another text has too.

    Units: a fraction in [0, 1]; a text of less than eight words is compared as a whole.

    >>> shared_share("one two three", "one two three four")
    1.0
    """
    words, others = (_WORD.findall(each.lower()) for each in (text, other))
    if not words:
        return 0.0
    size = min(_GRAM, len(words))
    grams = [tuple(words[place : place + size]) for place in range(len(words) - size + 1)]
    known = {tuple(others[place : place + size]) for place in range(len(others) - size + 1)}
    return sum(gram in known for gram in grams) / len(grams)
