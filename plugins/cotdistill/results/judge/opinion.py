"""What a second-stage judge is shown, and what its reply means; nothing here asks anyone."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Literal

Ruling = Literal["correct", "wrong", "undecided"]

TAIL = 2000
_REASON = 300
_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)


@dataclass(frozen=True)
class Opinion:
    """What a judge said; `undecided` also where its reply could not be read."""

    ruling: Ruling
    reason: str


def read_opinion(reply: str) -> Opinion:
    """Read a judge's reply strictly: a JSON object whose `verdict` is one of the three words.

    The last such object outside a thinking block counts. Nothing is guessed from other words:
    "Not correct" holds the word "correct".

    >>> read_opinion('{"verdict": "correct", "reason": "1/2 is 0.5"}').ruling
    'correct'
    >>> read_opinion("True").ruling, read_opinion("Not correct").ruling
    ('undecided', 'undecided')
    """
    text = _THOUGHT.sub("", reply)
    if "<think>" in text:
        return Opinion("undecided", "the judge's thinking never ended")
    decoder = json.JSONDecoder()
    found: list[Opinion] = []
    place = text.find("{")
    while place >= 0:
        end = place + 1
        try:
            held, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            held = None
        if isinstance(held, dict):
            opinion = _opinion(held)
            found += [opinion] if opinion else []
        place = text.find("{", end)
    if len({opinion.ruling for opinion in found}) == 1:
        return found[-1]
    if found:
        return Opinion("undecided", "the judge gave several verdicts")
    return Opinion("undecided", "no verdict in the reply: " + " ".join(reply.split())[:_REASON])


def _opinion(held: dict[str, object]) -> Opinion | None:
    verdict = held.get("verdict")
    words: dict[str, Ruling] = {"correct": "correct", "wrong": "wrong", "undecided": "undecided"}
    ruling = words.get(verdict.strip().lower()) if isinstance(verdict, str) else None
    return Opinion(ruling, str(held.get("reason") or "")[:_REASON]) if ruling else None


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


def mark_of(*texts: str) -> str:
    """Return a mark that stands in none of the texts, the same every time.

    >>> mark = mark_of("a question", "a response")
    >>> len(mark), mark == mark_of("a question", "a response")
    (12, True)
    """
    number = 0
    while True:
        joined = "\x00".join((*texts, str(number))).encode(errors="surrogatepass")
        mark = hashlib.sha256(joined).hexdigest()[:12].upper()
        if not any(mark in text for text in texts):
            return mark
        number += 1


def is_audited(identity: str, share: float, seed: int) -> bool:
    """Return whether a right answer is in the random audit; a row's fate depends on itself alone.

    >>> sum(is_audited(str(number), 0.1, 0) for number in range(10_000)) / 10_000
    0.0954
    """
    digest = hashlib.sha256(f"{seed}\x00{identity}".encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64
