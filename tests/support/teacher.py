"""A scripted teacher that does what the prompts ask: sums in as many steps as a level wants."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from cotdistill.teach.checks import LEVEL_STEPS

_LEVELS = {
    "very coarse": 1,
    "a coarse": 2,
    "three steps": 3,
    "four or five": 4,
    "five to seven": 5,
    "very fine": 6,
}


def write_questions(path: Path, count: int, **changed: Any) -> Path:
    """Write additions with different numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as stream:
        for number in range(count):
            row = {
                "id": f"toy-{number}",
                "dataset": "toy",
                "split": "train",
                "question": f"Tom has {number} pens and buys {number + 7}. How many has he?",
                "gold": str(2 * number + 7),
                "kind": "number",
            } | changed
            stream.write(json.dumps(row) + "\n")
    return path


def asked_about(body: dict[str, Any]) -> tuple[str, int]:
    """Return the question that a request ends in, and the sum it asks for."""
    text = "\n".join(str(message["content"]) for message in body["messages"])
    found = re.findall(r"Tom has (\d+) pens and buys (\d+)", text)[-1]
    return f"{found[0]}+{found[1]}", int(found[0]) + int(found[1])


def level_in(body: dict[str, Any]) -> int | None:
    """Return the level that a prompt asks for."""
    text = body["messages"][-1]["content"]
    return next((level for words, level in _LEVELS.items() if words in text), None)


def solution(total: int, steps: int) -> str:
    """Return a solution of so many numbered steps."""
    lines = [f"{n}. Step {n} adds what is known." for n in range(1, steps)]
    return "\n".join([*lines, f"{steps}. The sum is {total}.", f"The answer is {total}"])


def obedient(body: dict[str, Any]) -> str:
    """Answer rightly, in as many steps as the level of the prompt wants."""
    _, total = asked_about(body)
    level = level_in(body)
    return solution(total, LEVEL_STEPS[level][0] if level else 2)
