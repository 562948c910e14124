"""Defects in the text of one trace: what `lint` looks for, and safe fixes.

Each finder takes a trace and returns what is wrong in a few words, or None. They test for a cheap
substring first, since nearly all rows lack it. Defects of the answer are in `answer_defects`, those
that show only among other rows in `corpus.text`.
"""

from __future__ import annotations

import re

from cotdistill.corpus.records.trace import Trace, states_an_answer
from cotdistill.grading.repetition import loops

_TAG = re.compile(
    r"</?(?:solution[ _]?path|solution|answer|br|explanation|reasoning|rationale|instruction"
    r"|question|response|output|step)\b[^<>]{0,20}>|<\|[A-Za-z_]{2,24}\|>|\[/?INST\]",
    re.IGNORECASE,
)
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)

# A backslash and one letter that a JSON reader took for a control character, then the rest of the
# LaTeX command. Tabs and line ends also occur on purpose, so only these rests count after them.
_LATEX_RESTS = {
    "\f": ("f", "rac|orall|lat|box|loor|rown"),
    "\b": ("b", "oxed|inom|egin|ar|eta|ig|igg|mod|ullet|old|ackslash|ot|mathbf"),
    "\t": ("t", "imes|ext|extbf|extit|heta|an|anh|au|o|frac|riangle|herefore|ilde|op|binom"),
    "\r": ("r", "ight|ightarrow|angle|ho|oot|floor|ceil|m"),
    "\v": ("v", "ec|ert|dots|arphi|ee"),
    "\a": ("a", "lpha|ngle|pprox|rcsin|rccos|rctan|ligned|st"),
}
_DAMAGE = {
    sign: re.compile(rf"{re.escape(sign)}(?=(?:{rests})(?![a-z]))")
    for sign, (_, rests) in _LATEX_RESTS.items()
}
_WELL_SET = 3  # a list whose second and third items start on new lines is taken to be fine
_NEVER_MEANT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_GIVEN = re.compile(
    r"\b(?:provided|given|expected|reference|stated) (?:correct )?answer\b"
    r"|\banswer (?:key|provided|given)\b",
    re.IGNORECASE,
)


def empty_rationale(trace: Trace) -> str | None:
    """Nothing to learn from: the rationale is empty or blank."""
    return "no rationale" if not trace.rationale.strip() else None


def answer_only(trace: Trace) -> str | None:
    """The whole rationale is the bare answer."""
    text = trace.rationale.strip()
    bare = len(text) < 40 and text and text.rstrip(".") in (trace.gold, trace.answer)
    return f"only {text!r}" if bare else None


def no_answer_marker(trace: Trace) -> str | None:
    """The rationale does not say which answer it gives, and the source does not either."""
    if trace.answer is not None or states_an_answer(trace.rationale):
        return None
    if answer_only(trace) or not trace.rationale.strip():
        return None
    return f"ends in {trace.rationale.rstrip()[-40:]!r}"


def leaked_tag(trace: Trace) -> str | None:
    """Scaffolding of the teacher's prompt was left in."""
    text = trace.rationale
    found = _TAG.search(text) if "<" in text or "[" in text else None
    return found[0] if found else None


def control_character(trace: Trace) -> str | None:
    r"""A control character, mostly LaTeX that a JSON reader damaged: `\f` + `rac`.

    >>> control_character(Trace("1", "toy", "train", "?", "", "so \frac{1}{2}"))
    "'\\x0c' in 'so \\x0crac{1}{2}'"
    """
    for text in (trace.rationale, trace.question, trace.gold):
        if text.replace("\n", "").isprintable():
            continue
        found = _NEVER_MEANT.search(text)
        for sign in "\t\r":
            if found is None and sign in text:
                found = _DAMAGE[sign].search(text)
        if found:
            around = text[max(found.start() - 12, 0) : found.end() + 12]
            return f"{found[0]!r} in {around!r}"
    return None


def glued_list_number(trace: Trace) -> str | None:
    """The number of a list item is glued to the end of the item before: `is 290.2. We`.

    >>> glued_list_number(Trace("1", "toy", "train", "?", "", "1. Take 290.2. We halve it: 145."))
    "'290.2. We'"
    """
    places = _glued(trace.rationale)
    if not places:
        return None
    place = places[0]
    return repr(trace.rationale[max(place - 4, 0) : place + 5])


def leading_space(trace: Trace) -> str | None:
    """White space before the first word, which a student learns to write."""
    first = trace.rationale[:1]
    return f"starts with {first!r}" if first.isspace() else None


def separator_inside(trace: Trace) -> str | None:
    """The separator that some trainers put before the answer is inside the rationale."""
    return "'-->' in it" if "-->" in trace.rationale else None


def mentions_given_answer(trace: Trace) -> str | None:
    """The teacher was shown the answer and says so."""
    text, place = trace.rationale, -1
    while (place := text.find(" answer", place + 1)) >= 0:
        found = _GIVEN.search(text[max(place - 18, 0) : place + 18])
        if found:
            return repr(found[0])
    return None


def loop(trace: Trace) -> str | None:
    """The rationale ends in endless repetition."""
    if not loops(trace.rationale):
        return None
    return f"ends in {trace.rationale.rstrip()[-60:]!r} again and again"


def cut_off(trace: Trace) -> str | None:
    """The teacher was stopped at its token limit, or never closed its thought."""
    if trace.provenance.finish_reason == "length":
        return "finish reason 'length'"
    text = trace.rationale
    if "<think>" in text and "</think>" not in text:
        return "<think> is never closed"
    return None


def without_tags(text: str) -> str:
    r"""Return a text without scaffolding; `<br>` becomes a line end.

    >>> without_tags("<Solution Path>Half of 8.<br>The answer is 4</Solution Path>")
    'Half of 8.\nThe answer is 4'
    """
    return _TAG.sub("", _BREAK.sub("\n", text)).strip()


def with_latex_restored(text: str) -> str:
    r"""Return a text whose damaged LaTeX commands have their backslash again.

    >>> print(with_latex_restored("\frac{1}{2} \times 4"))
    \frac{1}{2} \times 4
    """
    for sign, pattern in _DAMAGE.items():
        if sign in text:
            text = pattern.sub("\\\\" + _LATEX_RESTS[sign][0], text)
    return _NEVER_MEANT.sub("", text)


def with_list_unglued(text: str) -> str:
    r"""Return a text whose glued list items begin on lines of their own.

    >>> with_list_unglued("1. Take 290.2. We halve it.3. The answer is 145")
    '1. Take 290.\n2. We halve it.\n3. The answer is 145'
    """
    for place in reversed(_glued(text)):
        text = f"{text[:place]}\n{text[place:]}"
    return text


def _glued(text: str) -> list[int]:
    """Return where glued list numbers begin: 2, 3, ... in sequence, each after a full stop."""
    places: list[int] = []
    number, start = 2, 0
    while (place := text.find(f"{number}. ", start)) >= 0:
        before = text[place - 1 : place]
        if before in {".", ":", "!", "?", ")"} and _first_item(text, place, number):
            places.append(place)
            number, start = number + 1, place + 3
        elif before.isspace() and text[place - 2 : place - 1] in {".", ":", "!", "?", "\n", " "}:
            if number == _WELL_SET and not places:
                break
            number, start = number + 1, place + 3  # an item of its own, well set
        else:
            start = place + 1
        if number > 60:
            break
    return places


def _first_item(text: str, place: int, number: int) -> bool:
    """Whether the item before stands somewhere before, and a sentence follows."""
    follows = text[place + len(str(number)) + 2 : place + len(str(number)) + 3]
    return (follows.isupper() or follows in "*\\$(") and f"{number - 1}. " in text[:place]
