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
    r"|question|response|output|step)\b[^<>]{0,20}>"
    r"|<[|｜][^<>|｜\s]{2,40}[|｜]>|\[/?INST\]|<</?SYS>>|</s>|^<s>|<(?:bos|eos|pad|unk)>"
    r"|<(?:start|end)_of_turn>",
    re.IGNORECASE,
)
_THOUGHT = re.compile(
    r"<(?P<close>/?)(?:think|thinking|thought|thoughts)>|\[(?P<close2>/?)THINK\]"
    r"|<\|(?:begin|(?P<close3>end))_of_thought\|>|(?P<close4>◁/)think▷|◁think▷",
    re.IGNORECASE,
)

# UTF-8 that was read as Latin-1 or Windows-1252: the first byte of a sequence became one of these
# letters, the others a character that has a code from 0x80 to 0xBF there. Sequences that good text
# may hold, such as É before a quotation mark, count only if two of them follow each other.
_AFTER = "\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_MOJIBAKE = re.compile(
    rf"â[{_AFTER}]{{2}}|ï[»¼½¬][{_AFTER}]|ð[{_AFTER}]{{3}}|(?:[à-ï][{_AFTER}]{{2}}){{2}}"
    rf"|[ÂÃ][{_AFTER}]|(?:[Ä-ß][{_AFTER}]){{2}}|â€"
    rf"|(?:[РС][{_AFTER}ЃѓЉЊЌЋЏђљњќћџЎўЈҐЁЄЇІіґёєјЅѕї№]){{2}}|锟斤拷"
)
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|#\d{2,5}|#x[0-9a-f]{2,5});", re.IGNORECASE)
_LOST = re.compile("[\ufffd\ud800-\udfff]")

_RUN_OF_ONE = 150  # the same visible character so often in a row is no line, no number, no word
_RUN_OF_PIECE = 480  # characters of copies of one short piece, wherever they are
_STRIDE = 48  # a run of a piece whose length divides this repeats itself at this distance
_EQUAL_NEIGHBOURS = re.compile(r"(?=(.)\1)", re.DOTALL)
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
    character: re.compile(rf"{re.escape(character)}(?=(?:{rests})(?![a-z]))")
    for character, (_, rests) in _LATEX_RESTS.items()
}
_WELL_SET = 3  # a list whose second and third items start on new lines is taken to be fine
_NEVER_MEANT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_CONTROLS = bytes([*range(10), *range(11, 32), 127])  # all but the line end
_GIVEN = re.compile(
    r"\b(?:provided|given|expected|reference|stated) (?:correct )?answer\b"
    r"|\banswer (?:key|provided|given)\b",
    re.IGNORECASE,
)
# How the words before and after " answer" end and begin where _GIVEN can match.
_BEFORE_ANSWER = frozenset({"ed", "en", "ce", "ct"})
_AFTER_ANSWER = frozenset({" k", " p", " g"})


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
    tag = _TAG.search(text) if "<" in text or "[" in text else None
    return tag[0] if tag else None


def broken_thought(trace: Trace) -> str | None:
    """The thought is not marked by one opening and one closing tag, in this order.

    Trainers add no opening tag where one of the two is in the text, so a lone closing tag is
    trained on as it is. An empty thought is fine: models with a switch for thoughts write it.

    >>> broken_thought(Trace("1", "toy", "train", "?", "", "4 + 4 = 8</think>The answer is 8"))
    '</think> without an opening tag'
    """
    tags = _thought_tags(trace.rationale)
    if not tags:
        return None
    opened = sum(not closes for _, _, closes in tags)
    closed = len(tags) - opened
    if opened > 1 or closed > 1:
        return f"{max(opened, closed)} thoughts"
    if not opened:
        return f"{tags[0][0]} without an opening tag"
    if not closed:
        return None  # that is cut_off
    (first, _, first_closes), (second, end, _) = tags
    if first_closes:
        return f"{first} before {second}"
    return None if trace.rationale[end:].strip() else f"nothing after {second}"


def _thought_tags(text: str) -> list[tuple[str, int, bool]]:
    """Return the tags that open and close thoughts: text, end, and whether it closes."""
    if "<" not in text and "[" not in text and "◁" not in text:  # what such a tag begins with
        return []
    if "hink" not in text and "HINK" not in text and "hought" not in text:
        return []
    return [(tag[0], tag.end(), any(tag.groups())) for tag in _THOUGHT.finditer(text)]


def broken_text(trace: Trace) -> str | None:
    """The text was damaged by a wrong encoding: characters were lost, or became others.

    >>> broken_text(Trace("1", "toy", "train", "?", "", "It\u00e2\u20ac\u2122s 8"))
    "mojibake 'â€™' in 'Itâ€™s 8'"
    """
    for text in (trace.rationale, trace.question, trace.gold):
        if text.isascii():
            broken = _ENTITY.search(text) if "&" in text and ";" in text else None
            kind = "HTML entity"
        else:
            kind = "lost character"
            broken = _LOST.search(text)
            if broken is None:
                kind, broken = "mojibake", _MOJIBAKE.search(text)
            if broken is None and "&" in text:
                kind, broken = "HTML entity", _ENTITY.search(text)
        if broken:
            around = text[max(broken.start() - 12, 0) : broken.end() + 12]
            return f"{kind} {broken[0]!r} in {around!r}"
    return None


def control_character(trace: Trace) -> str | None:
    r"""A control character, mostly LaTeX that a JSON reader damaged: `\f` + `rac`.

    >>> control_character(Trace("1", "toy", "train", "?", "", "so \frac{1}{2}"))
    "'\\x0c' in 'so \\x0crac{1}{2}'"
    """
    for text in (trace.rationale, trace.question, trace.gold):
        if text.isascii():
            data = text.encode()
            if len(data.translate(None, _CONTROLS)) == len(data):
                continue
        control = _NEVER_MEANT.search(text)
        for character in "\t\r":
            if control is None and character in text:
                control = _DAMAGE[character].search(text)
        if control:
            around = text[max(control.start() - 12, 0) : control.end() + 12]
            return f"{control[0]!r} in {around!r}"
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
    return "'-->' in it" if ">" in trace.rationale and "-->" in trace.rationale else None


def mentions_given_answer(trace: Trace) -> str | None:
    """The teacher was shown the answer and says so."""
    text, place = trace.rationale, -1
    while (place := text.find(" answer", place + 1)) >= 0:
        if (
            text[place - 2 : place].lower() in _BEFORE_ANSWER
            or text[place + 7 : place + 9].lower() in _AFTER_ANSWER
        ):
            mention = _GIVEN.search(text[max(place - 18, 0) : place + 18])
            if mention:
                return repr(mention[0])
    return None


def loop(trace: Trace) -> str | None:
    """The rationale ends in endless repetition, or holds one piece over and over.

    >>> loop(Trace("1", "toy", "train", "?", "", "3 + 3 = 6. " + "0" * 3000 + " The answer is 6"))
    "repeats '0' 3000 times"
    """
    repeated = _repeated_piece(trace.rationale)
    if repeated:
        return repeated
    if not loops(trace.rationale):
        return None
    return f"ends in {trace.rationale.rstrip()[-60:]!r} again and again"


def _repeated_piece(text: str) -> str | None:
    """Say which short piece a text repeats hundreds of times in a row, if any.

    Only places that are equal at a fixed distance are looked at: a text of 1,200 characters is
    sampled at 25 of them, and nearly all differ.
    """
    for equal in _EQUAL_NEIGHBOURS.finditer(text[::_STRIDE]):
        start = equal.start() * _STRIDE
        block = text[start : start + _STRIDE]
        if block != text[start + _STRIDE : start + 2 * _STRIDE] or block.isspace():
            continue
        length = (block + block).index(block, 1)
        piece = block[:length]
        end = start + _STRIDE
        while text.startswith(block, end):
            end += _STRIDE
        while text[start - 1 : start] == text[start - 1 + length : start + length] and start:
            start -= 1
        while text[end : end + 1] == text[end - length : end - length + 1] and end < len(text):
            end += 1
        if end - start >= (_RUN_OF_ONE if length == 1 else _RUN_OF_PIECE):
            return f"repeats {piece!r} {(end - start) // length} times"
    return None


def cut_off(trace: Trace) -> str | None:
    """The teacher was stopped at its token limit, or never closed its thought."""
    if trace.provenance.finish_reason == "length":
        return "finish reason 'length'"
    tags = _thought_tags(trace.rationale)
    if tags and not any(closes for _, _, closes in tags):
        return f"{tags[0][0]} is never closed"
    return None


def with_thought_opened(text: str) -> str:
    r"""Return a text whose lone `</think>` has its opening tag again; others as they are.

    >>> with_thought_opened("4 + 4 = 8\n</think>\nThe answer is 8")
    '<think>\n4 + 4 = 8\n</think>\nThe answer is 8'
    """
    tags = [tag for tag, _, _ in _thought_tags(text)]
    return f"<think>\n{text}" if tags == ["</think>"] else text


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
    for character, pattern in _DAMAGE.items():
        if character in text:
            text = pattern.sub("\\\\" + _LATEX_RESTS[character][0], text)
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
