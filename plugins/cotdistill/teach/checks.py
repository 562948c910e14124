"""Whether a rationale is what was asked for: its number of steps, its format, its last line."""

from __future__ import annotations

import re
from collections.abc import Mapping

from cotdistill.corpus.granularity_measures import step_number
from cotdistill.hosts.sandbox.program import program_of

LEVEL_STEPS: dict[int, tuple[int, int]] = {
    1: (1, 2),
    2: (2, 3),
    3: (3, 4),
    4: (4, 5),
    5: (5, 7),
    6: (6, 10),
}
"""The fewest and the most steps of each level, as the prompts ask for them."""

_ANSWER = re.compile(r"(?:\bso,?\s+)?the (?:final )?answer is", re.IGNORECASE)
_ENDING = re.compile(r"the answer is\s*\S", re.IGNORECASE)
_QUESTION_LINE = re.compile(r"^\s*(?:Q:|\d+[.)])?.*\?\s*$", re.MULTILINE)
_ANSWER_LINE = re.compile(r"\?\s*\n\s*\S")
_FENCE = re.compile(r"^```", re.MULTILINE)
_REPHRASED = re.compile(r"\s*\**\s*rephrased question\s*:?\**:?", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z]{2,}")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_FORMULA = re.compile(r"=|\\\(|\$")
_DEFINED = re.compile(r"^\s*([A-Za-z]\w{0,15})\s*=", re.MULTILINE)
_SMALL_WORDS = frozenset(
    "a an and are as at be by do does for from had has have he her his how if in is it its many "  # noqa: SIM905
    "much of on or she so than that the their them then there they this to was were what when "
    "which who will with you your".split()
)


def body_of(rationale: str) -> str:
    r"""Return a rationale without its last line, if that only states the answer.

    >>> body_of("6 * 4 = 24.\nThe answer is 24"), body_of("6 * 4 = 24. The answer is 24.")
    ('6 * 4 = 24.', '6 * 4 = 24.')
    """
    whole = rationale.strip()
    found = _ANSWER.search(whole, whole.rfind("\n") + 1)
    shorter = whole[: found.start()].rstrip() if found else whole
    return shorter or whole


def step_count(rationale: str) -> int:
    r"""Return how many steps a rationale has, the line with the answer not counted.

    >>> step_count("1. Take 6.\n2. Take 4.\n3. 6 * 4 = 24.\nThe answer is 24")
    3
    """
    return step_number(_without_rephrasing(body_of(rationale)))


def level_fault(rationale: str, level: int | None) -> str:
    """Return how a rationale misses the steps of its level, or an empty text.

    >>> level_fault("6 * 4 = 24. The answer is 24", 5)
    'it has 1 step, and 5 to 7 were asked for'
    """
    if level is None:
        return ""
    fewest, most = LEVEL_STEPS[level]
    steps = step_count(rationale)
    if fewest <= steps <= most:
        return ""
    plural = "s" * (steps != 1)
    return f"it has {steps} step{plural}, and {fewest} to {most} were asked for"


def format_fault(rationale: str, format: str, question: str) -> str:  # noqa: A002
    """Return how a rationale misses its format, or an empty text.

    >>> format_fault("There are 6 * 4 = 24 buns. The answer is 24", "least-to-most", "How many?")
    'it has 0 simpler questions with an answer each, and at least 2 were asked for'
    """
    check = _CHECKS.get(format)
    return check(rationale, question) if check else ""


def ending_fault(rationale: str, format: str) -> str:  # noqa: A002
    """Return how a rationale's end misses the one form that answers are stated in.

    >>> ending_fault("So there are 24 buns.", "natural")
    'its last line is not of the form: The answer is X'
    """
    if format in ("program", "plain"):
        return ""
    last = rationale.strip().rpartition("\n")[2]
    if _ENDING.search(last):
        return ""
    return "its last line is not of the form: The answer is X"


def _natural(rationale: str, _question: str) -> str:
    if _FENCE.search(rationale):
        return "it holds a program, and plain sentences were asked for"
    questions = len(_QUESTION_LINE.findall(rationale)) if "?" in rationale else 0
    return "it is a list of questions, and plain sentences were asked for" * (questions > 1)


def _least_to_most(rationale: str, _question: str) -> str:
    answered = len(_ANSWER_LINE.findall(body_of(rationale)))
    if answered >= 2:
        return ""
    wanted = "simpler questions with an answer each, and at least 2 were asked for"
    return f"it has {answered} {wanted}"


def _rephrase(rationale: str, question: str) -> str:
    first = rationale.strip().partition("\n\n")[0]
    lost = sorted(_numbers(question) - _numbers(first))
    if lost:
        return f"its first paragraph does not restate the number {lost[0]} of the question"
    words = _content(question)
    if words and len(words & _content(first)) < len(words) / 2:
        return "its first paragraph does not restate the question"
    return ""


def _symbolic(rationale: str, _question: str) -> str:
    body = body_of(rationale)
    lines = [line for line in body.splitlines() if line.strip()]
    words = sum(len(_WORD.findall(line)) for line in lines if not _FORMULA.search(line))
    total = len(body.split())
    if not _DEFINED.search(body):
        return "it names no quantity, as in t = 6"
    if total and words > 0.35 * total:
        return f"{words} of its {total} words are outside of formulas"
    return ""


def _program(rationale: str, _question: str) -> str:
    code = program_of(rationale)
    if not code:
        return "it holds no program between ```python and ```"
    try:
        compile(code, "<program>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"its program is not Python ({getattr(error, 'msg', None) or error})"
    return "" if "print" in code else "its program prints nothing"


_CHECKS = {
    "natural": _natural,
    "least-to-most": _least_to_most,
    "rephrase": _rephrase,
    "symbolic": _symbolic,
    "program": _program,
}


def faults_of(
    rationale: str,
    format: str,  # noqa: A002
    level: int | None,
    question: str,
) -> Mapping[str, str]:
    """Return all that a rationale misses, in words, by kind: level, format, ending.

    >>> list(faults_of("24", "natural", 3, "How many?"))
    ['level', 'ending']
    """
    level_wrong = level_fault(rationale, level) if format in ("natural", "rephrase") else ""
    found = {
        "level": level_wrong,
        "format": format_fault(rationale, format, question),
        "ending": ending_fault(rationale, format),
    }
    return {kind: fault for kind, fault in found.items() if fault}


def _without_rephrasing(text: str) -> str:
    if _REPHRASED.match(text):
        return text.partition("\n\n")[2].strip() or text
    return text


def _numbers(text: str) -> set[str]:
    return {number.replace(",", "") for number in _NUMBER.findall(text)}


def _content(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(text)} - _SMALL_WORDS
