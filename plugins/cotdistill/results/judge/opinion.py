"""What a judge is shown, and what its reply means; nothing here asks anyone."""

from __future__ import annotations

import hashlib
import json
import re
from collections import deque
from dataclasses import dataclass, field
from typing import Literal, cast, get_args

Ruling = Literal["correct", "wrong", "undecided"]

TAIL = 2000
_REASON = 300
_DEEPEST = 64
_LONGEST = 1 << 20
_RULINGS = get_args(Ruling)
_OUTSIDE = re.compile(r"\{|</?think>")
_INSIDE = re.compile(
    r'"(?P<text>(?:[^"\\]|\\.)*+)(?P<end>"?)|</?think>|[{}:,]|[^\s"{}:,<]++|<', re.DOTALL
)
_ESCAPE = re.compile(
    r'(?P<codes>(?:\\u[0-9a-fA-F]{4})+)|\\(?:(?P<sign>["\\/])'
    r"|(?P<line>n)(?!(?:eq?|eg|u|abla|mid|otin)(?![A-Za-z]))|(?P<control>[bfrt])(?![A-Za-z]))"
)
_CONTROL = {"b": "\b", "f": "\f", "r": "\r", "t": "\t"}


@dataclass(frozen=True)
class Opinion:
    """A judge's verdict; `undecided` also where its reply could not be read."""

    ruling: Ruling
    reason: str


def read_opinion(reply: str) -> Opinion:
    r"""Read a judge's reply: a JSON object whose `verdict` is one of the three words.

    Verdicts inside a thought do not count; several that differ are no verdict. Nothing is guessed
    from other words: "Not correct" holds the word "correct". What judges write that is not quite
    JSON is understood: LaTeX with single backslashes, line breaks inside the reason, and a reason
    that was truncated. The time is linear in the length of the reply.

    >>> read_opinion('{"verdict": "correct", "reason": "\\frac{1}{2} is 0.5"}')
    Opinion(ruling='correct', reason='\\frac{1}{2} is 0.5')
    >>> read_opinion("True").ruling, read_opinion("Not correct").ruling
    ('undecided', 'undecided')
    """
    if len(reply) > _LONGEST:
        return Opinion("undecided", f"a reply of {len(reply):,} characters")
    objects = _objects_with_verdict(reply)
    if objects is None:
        return Opinion("undecided", "the judge's thinking never ended")
    words = [one.values["verdict"].strip().lower() for one in objects]
    rulings = [cast(Ruling, word) for word in words if word in _RULINGS]
    if len(set(rulings)) > 1:
        return Opinion("undecided", "the judge gave several verdicts")
    if not rulings:
        return Opinion("undecided", "no verdict in the reply: " + " ".join(reply.split())[:_REASON])
    reasons = [one.values.get("reason", "") for one in objects]
    return Opinion(rulings[-1], reasons[-1][:_REASON])


@dataclass
class _Object:
    """A JSON object that is being read; `values` holds those of its values that are text.

    `pending` is a text that becomes a key before a colon, and a value before a comma or the end.
    """

    values: dict[str, str] = field(default_factory=dict)
    key: str | None = None
    pending: str | None = None
    after_punctuation: bool = True

    def take_text(self, text: str) -> None:
        """Take a text; one that follows no punctuation belongs to something that is not JSON."""
        self.pending = text if self.after_punctuation else None
        self.after_punctuation = False

    def take_punctuation(self, mark: str) -> None:
        """Take a colon, a comma or the end."""
        if mark != ":":
            if self.key is not None and self.pending is not None:
                self.values[self.key] = self.pending
            self.key = None
        elif self.key is None:
            self.key = self.pending
        self.pending = None
        self.after_punctuation = True

    def take_other(self) -> None:
        """Take a number, an inner object, or anything else."""
        self.pending = None
        self.after_punctuation = False


def _objects_with_verdict(reply: str) -> list[_Object] | None:
    """All objects with a verdict after the last thought; None where a thought never ends.

    Outside of objects, brackets and quotes mean nothing; inside a text, a thought's tags do not.
    """
    found: list[_Object] = []
    inside: deque[_Object] = deque(maxlen=_DEEPEST)
    position = 0
    while (match := (_INSIDE if inside else _OUTSIDE).search(reply, position)) is not None:
        token, position = match[0], match.end()
        if token == "<think>":
            position = reply.find("</think>", position)
            if position < 0:
                return None
        elif token == "</think>":
            found.clear()
            inside.clear()
        elif token == "{":
            if inside:
                inside[-1].take_other()
            inside.append(_Object())
        elif token in (":", ",", "}"):
            one = inside[-1] if token != "}" else inside.pop()
            had = "verdict" in one.values
            one.take_punctuation(token)
            if "verdict" in one.values and not had:
                found.append(one)
        elif token[0] == '"':
            if match["end"] or inside[-1].key != "verdict":
                inside[-1].take_text(_decoded(match["text"]))
        else:
            inside[-1].take_other()
    for one in inside:  # the reply was truncated inside of these
        had = "verdict" in one.values
        one.take_punctuation("}")
        if "verdict" in one.values and not had:
            found.append(one)
    return found


def _decoded(text: str) -> str:
    r"""Undo JSON's escapes, but leave LaTeX's commands: \frac is no form feed.

    >>> print(_decoded(r"\frac{1}{2} \neq \times\n\"a\" \\pi"))
    \frac{1}{2} \neq \times
    "a" \pi
    """

    def plain(match: re.Match[str]) -> str:
        if codes := match["codes"]:
            return str(json.loads(f'"{codes}"'))
        return match["sign"] or ("\n" if match["line"] else _CONTROL[match["control"]])

    return _ESCAPE.sub(plain, text)


def tail_of(response: str, length: int = TAIL) -> str:
    """Return the end of a response, begun at a line or a word.

    >>> tail_of("one two three", length=9)
    'two three'
    """
    if len(response) <= length:
        return response
    end = response[-length:]
    if response[-length - 1].isspace():
        return end.lstrip()
    _, space, rest = end.partition("\n" if "\n" in end[: length // 4] else " ")
    return rest if space else end


def delimiter_for(*texts: str) -> str:
    """Return a word that is in none of the texts, the same every time.

    >>> word = delimiter_for("a question", "a response")
    >>> len(word), word == delimiter_for("a question", "a response")
    (12, True)
    """
    number = 0
    while True:
        joined = "\x00".join((*texts, str(number))).encode(errors="surrogatepass")
        word = hashlib.sha256(joined).hexdigest()[:12].upper()
        if not any(word in text for text in texts):
            return word
        number += 1


def is_audited(identity: str, share: float, random_seed: int) -> bool:
    """Return whether a correct response is audited; a row's fate depends on itself alone.

    >>> sum(is_audited(str(number), 0.1, 0) for number in range(10_000)) / 10_000
    0.0954
    """
    digest = hashlib.sha256(f"{random_seed}\x00{identity}".encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64
