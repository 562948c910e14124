"""Defects of a trace's answer: against its gold, against itself, against its options; bad golds."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cotdistill.benchmarks.readings import last_letters
from cotdistill.corpus.records.trace import Trace, target
from cotdistill.grading.arithmetic.soundness import step_soundness
from cotdistill.grading.equivalence.equivalent import equivalent
from cotdistill.grading.extract.extract import extract
from cotdistill.grading.grade import Outcome, grade

_PHRASE = "nswer is "
_STATED = re.compile(r"answer\s+is:?\s+", re.IGNORECASE)
_SUMMAND = re.compile(r"[+-]\d+")
_SENTENCE_END = re.compile(r"[.!?](?:\s|$)|\n")
_OPENING_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_BRACE = re.compile("[{}]")
_STATED_OPTION = re.compile(r"\(?\b([A-J])[).:]\s*([^\n,;]{2,60})")
# One complete equation in whole numbers, such as `3 + 4 - 2 = 5` or `$3 * 4 = $12`.
# It begins with a digit, which a search finds fast; what is before it is looked at from there: a
# space or bracket, perhaps a dollar operator, and no operator before the space.
_PLAIN = re.compile(
    r"([0-9](?:(?<=[\s(][0-9])(?<![/%)+*×÷=-][\s(][0-9])"
    r"|(?<=[\s(]\$[0-9])(?<![/%)+*×÷=-][\s(]\$[0-9]))[0-9]{0,8})"
    r" ?([-+*/x×÷]) ?\$?([0-9]{1,9})((?: ?[+-] ?\$?[0-9]{1,9})*)"
    r" ?= ?\$?([0-9]{1,12})(?![\d%/]|[.,:]\d| ?[-+*/x×÷=(^])"
)
_STATEMENTS_TRIED = 20
_ENDING = 300  # characters in which an answer is stated
_TEXT_COMMAND = re.compile(r"\\(?:text|textbf|mathrm|mathbf)\b")
_AROUND = " .,:;?…*~#$\\{}[]<>()\"'"
_BRACKETED = re.compile(
    r"(?:answer(?: is)?|####)[^\w\n<\[{(]{0,6}[<\[{(]\s*([^<>\[\]{}()\n]{1,60})[>\]})]",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(
    r"|x{3,}|tbd|todo|n/a"
    r"|(?:insert|put|write|enter|state|fill in|type) (?:.{1,40} )?"
    r"(?:answer|number|result|solution|value|option|letter|choice|here)"
    r"|(?:(?:the|your|my|final|correct|numerical|numeric|actual|own) ?)+"
    r"(?:answer|number|result|solution|value|option|letter|choice|expression|integer)"
    r"(?: (?:goes )?here| choice| letter| value)?"
    r"|(?:answer|number|result|option|letter)(?: (?:goes )?here)?"
)
_YES_NO = frozenset({"yes", "no", "true", "false"})


def outcome(trace: Trace, *, strict: bool = False) -> Outcome | None:
    """Return how the trace's answer compares with its gold; None without a gold.

    An answer that is given separately (`answer`) and not stated in the text is what is graded. A
    text without its last full stop is not cut off if it ends in the gold answer: many a solution
    written by hand does.

    >>> outcome(Trace("1", "toy", "train", "8 / 2?", "4", "Half of 8. The answer is 4."))
    'correct'
    >>> outcome(Trace("1", "toy", "train", "8 / 2?", "5", "Half of 8. The answer is 4."))
    'wrong'
    """
    if not trace.gold:
        return None
    response = target(trace)
    if _ends_exactly_in(response, trace.gold):
        return "correct"
    graded = grade(response, trace.gold, kind=trace.kind, options=trace.options, strict=strict)
    if graded.outcome == "cut_off":
        complete = f"{response.rstrip()}."
        if grade(complete, trace.gold, kind=trace.kind, options=trace.options).correct:
            graded = grade(
                complete, trace.gold, kind=trace.kind, options=trace.options, strict=strict
            )
    return graded.outcome


def answer_read(trace: Trace) -> str:
    """Return the answer that the grader reads from a trace; empty if there is none."""
    read = grade(target(trace), trace.gold, kind=trace.kind, options=trace.options).answer
    return read or ""


def false_step(trace: Trace) -> str | None:
    """An equation in the rationale does not hold.

    >>> false_step(Trace("1", "toy", "train", "?", "", "First 3 + 4 = 8, then 8 - 1 = 7."))
    '3 + 4 = 8'
    """
    text = trace.rationale
    if "=" not in text or _plainly_true(text):
        return None
    spans = step_soundness(text).false_spans
    return text[slice(*spans[0])] if spans else None


def forced_label(trace: Trace) -> str | None:
    """Two answers are stated, and the last differs from the first.

    >>> forced_label(Trace("1", "toy", "train", "?", "24", "The answer is 34. The answer is 24",
    ...                    kind="number"))
    'first 34, at last 24'
    """
    if trace.rationale.count(_PHRASE) < 2:
        return None
    pieces = _STATED.split(trace.rationale)[1:]
    places = range(len(pieces))
    first = _first_answer(trace, pieces, places)
    last = _first_answer(trace, pieces, places[::-1])
    if first is None or last is None or first[0] == last[0]:
        return None
    same = equivalent(first[1], last[1], kind=trace.kind, options=trace.options)
    return f"first {first[1]}, at last {last[1]}" if same.equal is False else None


def _first_answer(
    trace: Trace, pieces: Sequence[str], places: Sequence[int]
) -> tuple[int, str] | None:
    """Return the first of some statements that holds an answer, and the answer; try a few only."""
    for place in places[:_STATEMENTS_TRIED]:
        read = extract(_statement(pieces[place]), kind=trace.kind, options=trace.options)
        if read.answer:
            return place, read.answer
    return None


def placeholder_answer(trace: Trace) -> str | None:
    r"""The prompt's placeholder is given for an answer, or the box is empty.

    >>> placeholder_answer(Trace("1", "toy", "train", "?", "", r"So \boxed{your answer here}."))
    "the box says 'your answer here'"
    """
    text = trace.rationale
    if "box" in text:
        box = last_box(text)
        if box is not None and _is_placeholder(box, trace.gold):
            return f"the box says {box!r}" if box.strip() else "the box is empty"
    ending = text[-_ENDING:]
    if "<" not in ending and "[" not in ending and "{" not in ending and "(" not in ending:
        return None
    if "####" not in ending and "nswer" not in ending.lower():
        return None
    stated = _BRACKETED.search(ending)
    if stated and _is_placeholder(stated[1], trace.gold):
        return f"says {stated[0]!r}"
    return None


def _is_placeholder(answer: str, gold: str) -> bool:
    bare = " ".join(_TEXT_COMMAND.sub("", answer).replace("_", " ").strip(_AROUND).lower().split())
    return (not bare or bare != gold.lower()) and _PLACEHOLDER.fullmatch(bare) is not None


def truncated_gold(trace: Trace) -> str | None:
    r"""The gold is truncated: its braces do not close, or the solution's box holds more.

    >>> truncated_gold(Trace("1", "math", "train", "?", r"\frac{1}", "", meta={
    ...     "solution": r"so \boxed{\frac{1}{2}}"}))
    'the box says \\frac{1}{2}'
    """
    gold = trace.gold
    if not gold:
        return None
    solution = trace.meta.get("solution")
    if solution is None and trace.provenance.teacher == "human":
        solution = trace.rationale
    box = last_box(solution) if isinstance(solution, str) else None
    if box is not None and _tight(box) != _tight(gold) and _tight(box).startswith(_tight(gold)):
        return f"the box says {box}"
    return "its braces do not close" if gold.count("{") != gold.count("}") else None


def gold_against_box(trace: Trace) -> str | None:
    """The solution's box holds another text than the gold, and the gold is not just truncated."""
    solution = trace.meta.get("solution")
    if not trace.gold or not isinstance(solution, str) or truncated_gold(trace):
        return None
    box = last_box(solution)
    if box is None or _tight(box) == _tight(trace.gold):
        return None
    different = equivalent(box, trace.gold, kind=trace.kind).equal is False
    return f"gold {trace.gold}, the box says {box}" if different else None


def gold_against_question(trace: Trace) -> str | None:
    """The gold is not what the question asks for, where that can be computed: last letters."""
    if not trace.gold or "ast letter" not in trace.question:
        return None
    try:
        right = last_letters(trace.question)
    except ValueError:
        return None
    if right.lower() == trace.gold.strip().lower():
        return None
    return f"gold {trace.gold}, the words give {right}"


def unreadable_gold(trace: Trace) -> str | None:
    """The gold is not of the kind that the question asks for."""
    gold = trace.gold
    if not gold:
        return None
    wrong = False
    if trace.kind == "number":
        wrong = not gold.isdigit() and not any(character.isdigit() for character in gold)
    elif trace.kind == "letter":
        wrong = not (len(gold.strip("().")) == 1 and gold.strip("().").isalpha())
    elif trace.kind == "boolean":
        wrong = gold.strip(". ").lower() not in _YES_NO
    return f"gold {gold!r} is no {trace.kind}" if wrong else None


def wrong_option(trace: Trace) -> str | None:
    """The answer is none of the options, or its letter is given with another option's text."""
    if trace.kind != "letter" or not trace.options:
        return None
    if trace.gold and trace.gold not in trace.options:
        return f"gold {trace.gold!r} is none of {', '.join(trace.options)}"
    at = trace.rationale.rfind(_PHRASE)
    stated = _STATED_OPTION.search(trace.rationale, at) if at >= 0 else None
    if not stated:
        return None
    if stated[1] not in trace.options:
        return f"says {stated[1]}, which is none of {', '.join(trace.options)}"
    named = _tight(stated[2]).lower().rstrip(".)")
    other = [
        letter
        for letter, text in trace.options.items()
        if letter != stated[1] and _tight(text).lower().rstrip(".)") == named
    ]
    return f"says {stated[0]!r}, but that is {other[0]}" if other else None


def last_box(text: str) -> str | None:
    r"""Return what the last complete box holds.

    >>> last_box(r"\boxed{1} and \boxed{\frac{1}{2}}"), last_box(r"\boxed{1")
    ('\\frac{1}{2}', None)
    """
    boxes = {box.end() for box in _OPENING_BOX.finditer(text)} if "{" in text else set()
    if not boxes:
        return None
    opened: list[int] = []  # each brace is looked at once: a thousand open boxes cost a thousand
    found: tuple[int, int] | None = None
    for brace in _BRACE.finditer(text):
        if brace[0] == "{":
            opened.append(brace.end())
        elif opened and (start := opened.pop()) in boxes:
            found = max(found or (0, 0), (start, brace.start()))
    return text[found[0] : found[1]] if found else None


def _plainly_true(text: str) -> bool:
    """Whether every equation is one in whole numbers that holds, so that none has to be parsed."""
    plain = _PLAIN.findall(f" {text}")
    return len(plain) == text.count("=") and all(map(_holds, plain))


def _holds(equation: tuple[str, str, str, str, str]) -> bool:
    left, operator, right, more, result = equation
    first, second = int(left), int(right)
    if operator == "+":
        total = first + second
    elif operator == "-":
        total = first - second
    elif operator in "/÷":
        if second == 0 or first % second:
            return False
        total = first // second
    else:
        total = first * second
    if more:
        total += sum(map(int, _SUMMAND.findall(more.replace(" ", "").replace("$", ""))))
    return total == int(result)


def _statement(piece: str) -> str:
    end = _SENTENCE_END.search(piece[:80])
    return f"The answer is {piece[: end.start() if end else 80]}"


def _ends_exactly_in(text: str, gold: str) -> bool:
    """Whether the text's only marker is followed by exactly the gold: nothing is left to grade."""
    at = text.rfind(_PHRASE)
    if at < 0 or text[at + len(_PHRASE) :].rstrip(" .\n") != gold.rstrip("."):
        return False
    return text.find(_PHRASE) == at and "boxed" not in text


def _tight(text: str) -> str:
    return (
        text.replace(" ", "").replace("\\!", "").replace("dfrac", "frac").replace("tfrac", "frac")
    )
