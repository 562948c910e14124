"""Whether a rationale is what was asked for: its number of steps, its format, its last line."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Mapping, Set

from cotdistill.corpus.granularity_measures import step_number
from cotdistill.hosts.sandbox.program import program_of
from cotdistill.teach.equations import wrong_equation

LEVEL_STEPS: dict[int, tuple[int, int]] = {
    1: (1, 2),
    2: (2, 3),
    3: (3, 4),
    4: (4, 5),
    5: (5, 7),
    6: (6, 10),
}
"""The fewest and the most steps of each level, as the prompts ask for them."""

_UNITS = {
    "least-to-most": ("answered question", "answered questions"),
    "symbolic": ("line after the names", "lines after the names"),
    "program": ("statement besides printing", "statements besides printing"),
}
"""What is a step of a format, where it is not a step of prose: one of them, and several."""

_ANSWER = re.compile(r"(?:\bso,?\s+)?the (?:final )?answer is", re.IGNORECASE)
_ENDING = re.compile(r"the answer is\s*\S", re.IGNORECASE)
_QUESTION_LINE = re.compile(r"^\s*(?:Q:|\d+[.)])?.*\?\s*$", re.MULTILINE)
_FRACTION = re.compile(r"^\s*\d+\s*/\s*\d+\b")
_FENCE = re.compile(r"^```", re.MULTILINE)
_REPHRASED = re.compile(r"\s*\**\s*rephrased question\s*:?\**:?", re.IGNORECASE)
_MARKED_QUESTION = re.compile(r"\W{0,4}Q(?:uestion)?\s?\d{0,2}\W{0,2}[:.)]", re.IGNORECASE)
_FRAMING = re.compile(r"\\[\[\]()]|\$|`|^\s*(?:[-*•]|\d{1,2}[.)])\s+")
_REMARK = re.compile(r"\([^()=]*\)\s*$|#.*")
_NAME = re.compile(r"(?:let\s+)?([A-Za-z](?:\w|_\{\w+\})*)\s*[=:]([^=]*)", re.IGNORECASE)
_SYMBOL = re.compile(r"[A-Za-z]\w*")
_CALCULATION = re.compile(
    r"[\w)]\s*[+*^×·÷−]\s*[\w(]|[\w)]\s+[-/]\s*[\w(]|[\d)][-/][\d(]|\\(?:times|cdot|div|frac)"
)
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


def steps_of(level: int, format: str) -> tuple[int, int]:  # noqa: A002
    """Return the fewest and the most steps that a format is asked for at a level.

    >>> steps_of(1, "natural"), steps_of(1, "least-to-most")
    ((1, 2), (2, 2))
    """
    fewest, most = LEVEL_STEPS[level]
    return (max(2, fewest), most) if format == "least-to-most" else (fewest, most)


def step_count(rationale: str, format: str = "natural") -> int:  # noqa: A002
    r"""Return how many steps a rationale has, as its format counts them.

    Steps of prose are those of `granularity`; other formats have answered questions, lines after
    the names, or statements before the one that prints. The line with the answer is none.

    >>> step_count("1. Take 6.\n2. Take 4.\n3. 6 * 4 = 24.\nThe answer is 24")
    3
    >>> step_count("t = 6 (trays)\nb = 4 (buns)\nn = t * b = 24\nThe answer is 24", "symbolic")
    1
    >>> step_count("Q: How many?\nA: 6.\nQ: And then?\nA: 24.\nThe answer is 24", "least-to-most")
    2
    >>> step_count("```python\nt = 6\nn = t * 4\nprint(n)\n```", "program")
    2
    """
    count = _COUNTS.get(format)
    if count:
        return count(rationale)
    return step_number(_without_rephrasing(body_of(rationale)))


def level_fault(rationale: str, level: int | None, format: str = "natural") -> str:  # noqa: A002
    """Return how a rationale misses the steps of its level, or an empty text.

    >>> level_fault("6 * 4 = 24. The answer is 24", 5)
    'it has 1 step, and 5 to 7 were asked for'
    """
    if level is None:
        return ""
    fewest, most = steps_of(level, format)
    steps = step_count(rationale, format)
    if fewest <= steps <= most:
        return ""
    unit = _UNITS.get(format, ("step", "steps"))[steps != 1]
    asked = f"{fewest} to {most}" if fewest != most else str(fewest)
    return f"it has {steps} {unit}, and {asked} were asked for"


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
    answered = _questions(rationale)
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
    if wrong := wrong_equation(body):
        return f"its equation {wrong!r} does not hold"
    return ""


def _program(rationale: str, _question: str) -> str:
    code = program_of(rationale)
    if not code:
        return "it holds no program between ```python and ```"
    try:
        _tree(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"its program is not Python ({getattr(error, 'msg', None) or error})"
    return "" if "print" in code else "its program prints nothing"


def _tree(code: str) -> ast.Module:
    """Parse a program; what Python would only warn of is left alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compile(code, "<program>", "exec", dont_inherit=True)
        return ast.parse(code)


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
    found = {
        "level": level_fault(rationale, level, format),
        "format": format_fault(rationale, format, question),
        "ending": ending_fault(rationale, format),
    }
    return {kind: fault for kind, fault in found.items() if fault}


def _questions(rationale: str) -> int:
    """Count the questions that are followed by an answer; those after "Q:" if there are any."""
    lines = [line.strip() for line in body_of(rationale).splitlines() if line.strip()]
    marked = [_MARKED_QUESTION.match(line) is not None for line in lines]
    if not any(marked):
        marked = [line.rstrip("*_ ").endswith("?") for line in lines]
    follows = [not is_question for is_question in marked[1:]]
    return sum(
        is_question and (answered or "?" in line.rstrip("?*_ "))
        for line, is_question, answered in zip(lines, marked, [*follows, False], strict=False)
    )


def _lines_after_names(rationale: str) -> int:
    """Count the lines behind the names at the beginning, each of which only gives a value."""
    lines = [_FRAMING.sub("", line).strip() for line in body_of(rationale).splitlines()]
    lines = [line for line in lines if any(character.isalnum() for character in line)]
    named: set[str] = set()
    for place, line in enumerate(lines):
        parts = re.split(r"[,;]\s+", _REMARK.sub("", line).strip())
        found = [_named(part, named) for part in parts]
        if not all(found):
            return len(lines) - place
        named.update(found)
    return 0


def _named(text: str, before: Set[str]) -> str:
    """Return the quantity that a text gives a value to without a calculation, as t = 6 does."""
    found = _NAME.fullmatch(text.strip())
    if not found or found[1] in before or _CALCULATION.search(_FRACTION.sub("1", found[2])):
        return ""
    value = found[2].split()
    uses = len(value) == 1 and not before.isdisjoint(_SYMBOL.findall(value[0]))  # as n = 4t
    return "" if uses else found[1]


def _statements(rationale: str) -> int:
    """Count a program's statements; imports, headers of functions and prints compute nothing."""
    try:
        nodes = list(ast.walk(_tree(program_of(rationale))))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return 0
    return sum(isinstance(node, ast.stmt) and not _is_silent(node) for node in nodes)


def _is_silent(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        value = node.value
        prints = isinstance(value, ast.Call) and getattr(value.func, "id", "") == "print"
        return prints or isinstance(value, ast.Constant)
    return isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef | ast.Pass)


_COUNTS = {
    "least-to-most": _questions,
    "symbolic": _lines_after_names,
    "program": _statements,
}


def _without_rephrasing(text: str) -> str:
    if _REPHRASED.match(text):
        return text.partition("\n\n")[2].strip() or text
    return text


def _numbers(text: str) -> set[str]:
    return {number.replace(",", "") for number in _NUMBER.findall(text)}


def _content(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(text)} - _SMALL_WORDS
