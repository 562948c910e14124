"""Held-out puzzles as lm-eval's documents: made on the spot, so the task needs no download."""

from __future__ import annotations

from typing import Any

from cotdistill.benchmarks.instruction import instruction_words
from cotdistill.benchmarks.puzzles import FAMILIES, draw_puzzles


def load_puzzles(
    puzzles: str, rows: int, draw: int = 0, instruction: str | None = None, **_of_the_host: Any
) -> dict[str, Any]:
    """Return the documents of a puzzle task: {"test": Dataset}; `draw` is the seed of the draw.

    No study can train on them: `reason.puzzles` keeps an eighth of all questions out of every
    training set. The host passes all of its model arguments too, which do not matter here.

    Raises:
        DataError: there is no such family, or it has too few questions.
    """
    from datasets import Dataset

    words = instruction_words(instruction)
    found = puzzle_documents(puzzles, rows, draw)
    return {"test": Dataset.from_list([{**document, **words} for document in found])}


def puzzle_documents(puzzles: str, rows: int, draw: int = 0) -> list[dict[str, Any]]:
    """Return held-out puzzles as records of questions, without their rationales.

    >>> puzzle_documents("ball", rows=1)[0]["kind"]
    'letter'
    """
    kind = FAMILIES[puzzles].kind if puzzles in FAMILIES else None
    return [
        {
            "id": puzzle.id,
            "dataset": puzzle.family,
            "split": "test",
            "question": puzzle.question,
            "gold": puzzle.answer,
            "kind": kind,
            "options": None,
            "rationale": None,
            "meta": None,
        }
        for puzzle in draw_puzzles(puzzles, level=0, rows=rows, seed=draw, split="test")
    ]
