"""The training rows that a page shows next to responses: those of the same question, and examples.

A question is found in a row by its words, wherever in the prompt they stand, so that an instruction
around it does not hide it. A test question that is found this way was trained on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotdistill.benchmarks.question import without_heading
from cotdistill.files.jsonl import BadRow, numbered_rows

MOST_ROWS = 20_000  # of an arm that are looked at
EXAMPLES = 3  # rows of every arm that are shown whatever they ask
_MOST_MATCHES = 200  # of an arm on a page
_LONGEST = 3_000
_WORD = re.compile(r"\w+")
_RUN = 8  # words by which a question is looked up


@dataclass
class ArmRows:
    """Rows of one arm as [prompt, response]: the first ones, then those that ask a question.

    `matches` maps the number of a question to the numbers of its rows; `read` counts the rows that
    were looked at.
    """

    rows: list[tuple[str, str]] = field(default_factory=list)
    matches: dict[int, list[int]] = field(default_factory=dict)
    read: int = 0


def training_rows(files: Mapping[str, Path | None], questions: Sequence[str]) -> dict[str, ArmRows]:
    """Return the rows to show of every arm whose file is there.

    Only the first `MOST_ROWS` rows of a file are read.
    """
    index = _Index(questions)
    found = {}
    for arm, path in files.items():
        if path is None or not path.is_file():
            continue
        one = ArmRows()
        for prompt, response in _rows(path):
            one.read += 1
            asked = index.questions_in(prompt)
            if asked and len(one.rows) < _MOST_MATCHES:
                for number in asked:
                    one.matches.setdefault(number, []).append(len(one.rows))
            if len(one.rows) < EXAMPLES or (asked and len(one.rows) < _MOST_MATCHES):
                one.rows.append((prompt[:_LONGEST], response[:_LONGEST]))
            if one.read >= MOST_ROWS:
                break
        found[arm] = one
    return found


def is_long_enough(question: str) -> bool:
    """Say whether a question has so many words that it is no phrase of another one.

    >>> is_long_enough("What is 3 + 4?")
    False
    """
    return len(_WORD.findall(question)) >= _RUN


def _words(text: str) -> list[str]:
    """Return the words of a text, without those that announce answer choices."""
    return _WORD.findall(without_heading(text).lower())


class _Index:
    """Finds in a text the questions whose words stand in it in their order."""

    def __init__(self, questions: Sequence[str]) -> None:
        self._words = [_words(question) for question in questions]
        self._starts: dict[tuple[str, ...], list[int]] = {}
        for number, words in enumerate(self._words):
            if words:
                self._starts.setdefault(tuple(words[:_RUN]), []).append(number)
        self._lengths = sorted({len(start) for start in self._starts})

    def questions_in(self, text: str) -> list[int]:
        """Return the numbers of the questions that a text asks."""
        words = _words(text)
        found: dict[int, None] = {}
        for length in self._lengths:
            for place in range(len(words) - length + 1):
                for number in self._starts.get(tuple(words[place : place + length]), ()):
                    whole = self._words[number]
                    if words[place : place + len(whole)] == whole:
                        found[number] = None
        return list(found)


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    """Yield prompt and response of a training file as `prepare` writes it; others are left out."""
    for _, row in numbered_rows(path):
        if isinstance(row, BadRow):
            continue  # `check` names it; a page of results does not judge the data
        pair = _pair(row)
        if pair is not None:
            yield pair


def _pair(row: Mapping[str, Any]) -> tuple[str, str] | None:
    if "output" in row:
        parts = [row.get(name) for name in ("system", "instruction", "input")]
        return "\n".join(str(part) for part in parts if part), str(row["output"] or "")
    turns = row.get("messages") or row.get("conversations")
    if (
        not isinstance(turns, list)
        or not all(isinstance(turn, dict) for turn in turns)
        or not turns
    ):
        return None
    texts = [str(turn.get("content", turn.get("value", "")) or "") for turn in turns]
    if not any(texts):
        return json.dumps(row, ensure_ascii=False), ""
    return "\n".join(texts[:-1]), texts[-1]
