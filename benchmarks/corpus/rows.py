"""Synthetic traces of about 300 tokens: questions, steps with equations, and known defects.

    python benchmarks/corpus/rows.py 1000000 traces.jsonl

2 % are copies of the row before, 3 % copies with words changed, 1 % have a wrong gold, 1 % start
with a space, 1 % have a leaked tag. The same count gives the same bytes.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

NAMES = ("Ida", "Tom", "Lena", "Omar", "Priya", "Chen", "Maria", "Jo")
SYLLABLES = ("ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "ri", "so")
STEPS = 12


def vocabulary(rng: random.Random) -> list[str]:
    """Return made-up words, short ones first, so that the first can be drawn more often."""
    made = {"".join(rng.choices(SYLLABLES, k=rng.choice((1, 2, 2, 3)))) for _ in range(3000)}
    return sorted(made, key=lambda word: (len(word), word))


def trace(rng: random.Random, words: list[str], number: int) -> dict[str, Any]:
    """Return one right trace."""

    def prose(length: int) -> str:
        places = (int(len(words) * rng.random() ** 2) for _ in range(length))
        return " ".join(words[place] for place in places)

    one, two = rng.randint(2, 999), rng.randint(2, 999)
    steps = []
    for step in range(1, STEPS + 1):
        left, right = rng.randint(1, 99), rng.randint(1, 99)
        steps.append(f"{step}. {prose(14)}, {left} + {right} = {left + right}.")
    steps.append(f"So {one} + {two} = {one + two}. The answer is {one + two}")
    return {
        "id": f"row-{number}",
        "dataset": "synthetic",
        "split": "train",
        "question": f"{rng.choice(NAMES)} has {one} {prose(3)} and gets {two} more {prose(18)}. "
        "How many in all?",
        "gold": str(one + two),
        "rationale": "\n".join(steps),
        "kind": "number",
        "provenance": {"teacher": "synthetic", "level": 1 + number % 6, "finish_reason": "stop"},
    }


def write_rows(count: int, path: Path) -> None:
    """Write so many traces."""
    rng = random.Random(7)
    words = vocabulary(rng)
    before: dict[str, Any] = {}
    with path.open("w", encoding="utf-8") as stream:
        for number in range(count):
            row = trace(rng, words, number)
            chance = rng.random()
            if before and chance < 0.02:
                row = {**before, "id": row["id"]}
            elif before and chance < 0.05:
                rationale = before["rationale"].replace(" ba", " zz", 3)
                row = {**before, "id": row["id"], "rationale": rationale}
            elif chance < 0.06:
                row["gold"] = str(int(row["gold"]) + 1)
            elif chance < 0.07:
                row["rationale"] = " " + row["rationale"]
            elif chance < 0.08:
                row["rationale"] = "<answer>" + row["rationale"]
            stream.write(json.dumps(row) + "\n")
            before = row


if __name__ == "__main__":
    write_rows(int(sys.argv[1]), Path(sys.argv[2]))
