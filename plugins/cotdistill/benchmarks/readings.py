r"""How sources write golds, choices and rationales, each read into one way of writing them.

These are the words that a benchmark's YAML file can use in a shape: `gold: answer | after('####')`.
They read golds, which are trusted to be answers; a model's text is read by the grader instead.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_HEADING = re.compile(
    r"\s*(?P<end>[.:;,]*)\s*(?:which choice is true\?\s*)?answer choices\s*:\s*", re.IGNORECASE
)
_LAST_LETTERS = re.compile(
    r"\blast letters?\b[^\"“]{0,60}[\"“]([A-Za-zÀ-ɏ'’.\- ]{1,200})[\"”]", re.IGNORECASE
)
_MARKER = re.compile(r"(?:(?<=^)|(?<=[\s,]))\(?\s?([A-Za-z])\s?[).:](?=\s|\S)")


def after(text: str, marker: str) -> str:
    """Return what follows the last marker; a text without it has no such part and is an error.

    >>> after("16 - 7 = 9, so #### 9", "####")
    '9'
    """
    _, found, tail = text.rpartition(marker)
    if not found:
        raise ValueError(f"no {marker!r} in it")
    return tail.strip()


def before(text: str, marker: str) -> str:
    """Return what stands before the last marker, or all of a text without it.

    >>> before("16 - 7 = 9 #### 9", "####")
    '16 - 7 = 9'
    """
    return text.rpartition(marker)[0].strip() if marker in text else text.strip()


def without_calculator(text: str) -> str:
    """Return a GSM8K rationale without its calculator notes.

    >>> without_calculator("He has 2*3=<<2*3=6>>6 apples.")
    'He has 2*3=6 apples.'
    """
    return re.sub(r"<<[^<>]*>>", "", text)


def stated(text: str) -> str:
    """Return what follows the last "The answer is", without the full stop.

    >>> stated("Half of 290 is 145. The answer is 145.")
    '145'
    >>> stated("True")
    'True'
    """
    found = list(re.finditer(r"\bthe answer is\b:?", text, re.IGNORECASE))
    tail = text[found[-1].end() :] if found else text
    return tail.strip().removesuffix(".").strip()


def boxed(text: str) -> str:
    r"""Return the content of the last complete box of a gold solution.

    >>> boxed(r"so $x = \boxed{\frac{1}{2}}$.")
    '\\frac{1}{2}'
    """
    for found in reversed(list(re.finditer(r"\\(?:boxed|fbox)\s*(?=\{)", text))):
        depth = 0
        for place in range(found.end(), len(text)):
            depth += {"{": 1, "}": -1}.get(text[place], 0) * (text[place - 1] != "\\")
            if depth == 0:
                return text[found.end() + 1 : place].strip()
    plain = re.findall(r"\\boxed\s+([^\s$.]+)", text)
    if not plain:
        raise ValueError("no complete \\boxed{} in it")
    return str(plain[-1])


def bare(text: str) -> str:
    """Return a formula without dollar signs; a gold that is a sentence keeps them.

    >>> bare("$2 n$"), bare("$69$,$84$"), bare("$x$ where $x$ is odd")
    ('2 n', '69,84', '$x$ where $x$ is odd')
    """
    text = str(text).strip()
    if re.search(r"(?<![\\A-Za-z{])[A-Za-z]{3,}", text):
        return text
    return text.replace("$", "").strip().removesuffix(".").strip()


def number(value: Any) -> str:
    """Return a numeric gold without padding, thousands commas or an empty fraction.

    >>> number("025"), number(27.0), number("1,234"), number("-0.50"), number("9 (apples)")
    ('25', '27', '1234', '-0.50', '9')
    """
    text = str(value).strip().replace(",", "").removeprefix("$")
    found = re.fullmatch(r"([-+]?)0*(\d[\d]*(?:\.\d+)?(?:[eE][-+]?\d+)?)(?:\s*\(.*\)|%?)", text)
    if not found:
        if re.fullmatch(r"[-+]?\.\d+|[-+]?\d+\s*/\s*\d+", text):
            return text.replace(" ", "")
        raise ValueError(f"{text[:40]!r} is not a number")
    sign, digits = found.groups()
    return ("-" if sign == "-" else "") + re.sub(r"\.0+$", "", digits)


def letter(value: Any) -> str:
    """Return the letter of a choice, in upper case.

    >>> letter("B. enforce"), letter("(c)"), letter("a"), letter("D.")
    ('B', 'C', 'A', 'D')
    """
    found = re.match(r"\s*\(?([A-Za-z])(?:[).:]|\s*$)", str(value))
    if not found:
        raise ValueError(f"{str(value)[:40]!r} is not the letter of a choice")
    return found[1].upper()


def yes_no(value: Any) -> str:
    """Return Yes or No for what a source writes as true or false.

    >>> yes_no(True), yes_no("False"), yes_no("yes.")
    ('Yes', 'No', 'Yes')
    """
    word = str(value).strip().rstrip(".").lower()
    if word not in {"true", "false", "yes", "no"}:
        raise ValueError(f"{str(value)[:40]!r} is neither yes nor no")
    return "Yes" if word in {"true", "yes"} else "No"


def last_letters(question: str) -> str:
    """Return the last letters of the words that a question quotes, joined, as the gold they make.

    >>> last_letters('Take the last letters of each words in "Ada Bob Eve" and concatenate them.')
    'abe'
    """
    quoted = _LAST_LETTERS.search(question)
    if quoted is None:
        raise ValueError("no quoted words whose last letters are asked for")
    return "".join(word[-1] for word in quoted[1].split())


def choices(listed: Sequence[str]) -> dict[str, str]:
    """Return choices by letter from texts that may begin with their own letter.

    >>> choices(["A)12", "B)None of these"]), choices(["red", "blue"])
    ({'A': '12', 'B': 'None of these'}, {'A': 'red', 'B': 'blue'})
    """
    return {
        chr(ord("A") + place): re.sub(
            rf"^\s*\(?{chr(ord('A') + place)}\s?[).:]\s*", "", text
        ).strip()
        for place, text in enumerate(listed)
    }


def zipped(letters: Sequence[str], texts: Sequence[str]) -> dict[str, str]:
    """Return choices by letter from two lists side by side.

    >>> zipped(["A", "B"], ["red", "blue"])
    {'A': 'red', 'B': 'blue'}
    """
    return {letter.upper(): text.strip() for letter, text in zip(letters, texts, strict=True)}


def inline_choices(text: str) -> dict[str, str]:
    """Return the choices written in one line, in any of the marks the sources use.

    A letter counts only in its turn, so "a ) a ) 2" and "vitamin C: good" read as they are meant.

    >>> inline_choices("(A) 35 (B) 25 (C) None of these.")
    {'A': '35', 'B': '25', 'C': 'None of these'}
    >>> inline_choices("a ) a ) 2 , b ) b ) - 5 , c ) none")
    {'A': '2', 'B': '- 5', 'C': 'none'}
    >>> inline_choices("['a ) 2 : 3', 'b ) 16 : 9']")
    {'A': '2 : 3', 'B': '16 : 9'}
    """
    if text.strip().startswith("['"):  # a Python list that was printed
        text = " , ".join(map(str, ast.literal_eval(text.strip())))
    found: list[tuple[str, int, int]] = []
    for mark in _MARKER.finditer(text):
        name = mark[1].upper()
        if name == chr(ord("A") + len(found)):
            found.append((name, mark.start(), mark.end()))
        elif found and name == found[-1][0] and not text[found[-1][2] : mark.start()].strip():
            found[-1] = (name, found[-1][1], mark.end())
    if len(found) < 2:
        raise ValueError("no choices in it")
    ends = [start for _, start, _ in found[1:]] + [len(text)]
    options = {
        name: text[begin:end].strip().rstrip(",").strip()
        for (name, _, begin), end in zip(found, ends, strict=True)
    }
    last = found[-1][0]
    options[last] = options[last].removesuffix(".").strip()
    return options


def stem_and_choices(text: str) -> tuple[str, dict[str, str]]:
    r"""Split a question from the choices after "Answer choices:", and from a leading "Q:".

    >>> stem_and_choices("Q: The sun is Answer choices: A: hot, B: cold")
    ('The sun is', {'A': 'hot', 'B': 'cold'})
    >>> stem_and_choices("Who?\nWhich choice is true? Answer choices: (A) Ann, (B) Bob.")
    ('Who?', {'A': 'Ann', 'B': 'Bob'})
    """
    headings = list(_HEADING.finditer(text))
    if not headings:
        raise ValueError("no answer choices in it")
    heading = headings[-1]
    stem = re.sub(r"^\s*Q:\s*", "", text[: heading.start()]).strip()
    return stem + heading["end"], inline_choices(text[heading.end() :])


READINGS: Mapping[str, Callable[..., Any]] = {
    "after": after,
    "bare": bare,
    "before": before,
    "boxed": boxed,
    "choices": choices,
    "inline_choices": inline_choices,
    "last_letters": last_letters,
    "letter": letter,
    "number": number,
    "stated": stated,
    "without_calculator": without_calculator,
    "yes_no": yes_no,
    "zipped": zipped,
}
