"""What a guided sample must not show: that it was given an answer, or words that are not its own.

Each guard returns why a text is not used, or an empty text. A student is trained on the plain
question, so a text that refers to a hint would teach it to make hints up.
"""

from __future__ import annotations

import ast
import re
import warnings

from cotdistill.hosts.sandbox.program import program_of

_GIVEN = re.compile(
    r"\b(?:given|known|provided|stated) (?:final )?(?:answer|result|solution)\b"
    r"|\b(?:expected|target|reference) (?:final )?(?:answer|solution|result)\b"
    r"|\b(?:target|reference) (?:final )?value\b"
    r"|\bcorrect (?:final )?(?:answer|result|solution)(?:,| (?:is|was|of|must be|should be)\b)"
    r"|as (?:was |is )?(?:given|provided|stated) (?:in|by|above)"
    r"|(?:answer|result) (?:that )?(?:was|is|were) (?:given|provided|known)"
    r"|according to the (?:reference|solution)",
    re.IGNORECASE,
)
_ATTEMPT = (
    r"|my (?:earlier|previous|first) (?:attempt|answer|solution|try)"
    r"|(?:you|thank you for) (?:pointed|pointing) (?:it |that |this )?out|you(?:['’]re| are) right"
)
_TEACHER = re.compile(r"\bteachers?\b" + _ATTEMPT, re.IGNORECASE)
_OWN_TEACHER = re.compile(
    r"\b(?:my|your|our) teacher(?:['’]s)? (?:say|said|point|correct|not(?:ed|es)|mention"
    r"|told|tells|suggest|explain|comment|feedback|hint|guidance|remark|advice|identif|indicat"
    r"|(?:is|was) right)\w*"
    r"|\b(?:as|like|to|by|with) (?:my|your) teacher\b" + _ATTEMPT,
    re.IGNORECASE,
)
"""In a text about a question that has a teacher itself."""
_STATING = frozenset({"print", "str", "int", "float", "repr", "Fraction"})
_WORD = re.compile(r"\w+")
_GRAM = 8
MOST_SHARED = 0.8


def mentions_hint(text: str, question: str) -> str:
    """Return the words by which a text refers to a result that it was given.

    >>> mentions_hint("Since the known result is 24, we multiply.", "How many?")
    "it refers to a hint ('known result')"
    """
    asked = question.lower()
    for found in _GIVEN.finditer(text):
        if found[0].lower() not in asked:
            return f"it refers to a hint ('{found[0]}')"
    return ""


def mentions_teacher(text: str, correction: str, question: str) -> str:
    """Return the words by which a text refers to its teacher, or that it quotes it.

    A question may be about a teacher; then "the teacher" of a text is that one.

    >>> mentions_teacher("My earlier attempt was wrong.", "Check step 2.", "How many?")
    "it refers to the correction ('My earlier attempt')"
    >>> mentions_teacher("The teacher said 5 names.", "Check step 2.", "A teacher has 9 names.")
    ''
    """
    asked = question.lower()
    words_of_its_own = _OWN_TEACHER if "teacher" in asked else _TEACHER
    for found in words_of_its_own.finditer(text):
        if found[0].lower() not in asked:
            return f"it refers to the correction ('{found[0]}')"
    if shared_share(correction, text) > MOST_SHARED:
        return "it quotes the correction"
    return ""


def states_result(text: str) -> str:
    r"""Return that a program prints its result without calculating it.

    >>> states_result("print(7)"), states_result("pens = 3 + 4\nprint(pens)")
    ('its program states the result without a calculation', '')
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            nodes = list(ast.walk(ast.parse(program_of(text))))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""  # it does not run either
    calculates = any(
        isinstance(node, ast.BinOp | ast.AugAssign | ast.Compare | ast.BoolOp)
        or (isinstance(node, ast.UnaryOp) and not isinstance(node.operand, ast.Constant))
        or (isinstance(node, ast.Call) and getattr(node.func, "id", "") not in _STATING)
        for node in nodes
    )
    return "" if calculates else "its program states the result without a calculation"


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
