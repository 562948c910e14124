"""How many rows an arm has, and how long they are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from cotdistill.arms.rows import Tally, source_traces
from cotdistill.files.jsonl import read_rows
from cotdistill.preflight.asking import written_rows
from cotdistill.preflight.planned import Assumed
from cotdistill.studies.arm import SampleArm, TeachArm
from cotdistill.studies.resolve import Resolved
from cotdistill.studies.resolved_arm import ResolvedArm, Source

CHARACTERS_A_TOKEN = 3.5
_CHARACTERS_A_PUZZLE_TOKEN = 2.6  # letters of cups and coins, next to words
_PUZZLES = 200  # rows of an arm that are measured


def arm_size(
    resolved: Resolved, name: str, assumed: Assumed, root: Path | None
) -> tuple[int | None, float]:
    """Return an arm's rows and mean tokens per row, from its file where there is one.

    Rows that a model writes are those of the run folder `root`, once they are there.
    """
    arm = resolved.arms[name]
    is_written = isinstance(arm.declared, TeachArm | SampleArm)
    if root is not None and is_written and (root / arm.file).is_file():
        return _measured(root / arm.file)
    return _size(resolved, arm, assumed)


def _size(resolved: Resolved, arm: ResolvedArm, assumed: Assumed) -> tuple[int | None, float]:
    if arm.mixing:
        weights = arm.mixing.weights
        parts = {p.name: _size(resolved, p, assumed) for p in arm.parts if weights[p.name]}
        sizes = [rows for rows, _ in parts.values()]
        total = sum(weights.values())
        mean = sum(tokens * weights[part] / total for part, (_, tokens) in parts.items())
        least = min(rows for rows in sizes if rows is not None) if None not in sizes else None
        return arm.mixing.rows or least, mean
    source = arm.source
    assert source is not None
    if source.puzzles:
        return source.declared_rows, _puzzle_tokens(source)
    if source.path and source.at_hand:
        return _measured(source.path)
    if arm.name in resolved.study.arms:
        written = written_rows(resolved, arm.name, assumed.generated)
        if written is not None:
            return _with_added(written, [_size(resolved, one, assumed) for one in arm.added])
    return source.declared_rows, float(assumed.response_tokens)


def _puzzle_tokens(source: Source) -> float:
    """Return the mean tokens of a generated row; rows are made anew, which takes no time."""
    rows = list(islice(source_traces(source, Tally()), _PUZZLES))
    characters = sum(len(row.question) + len(row.rationale) for row in rows)
    return characters / max(len(rows), 1) / _CHARACTERS_A_PUZZLE_TOKEN


def _with_added(
    own: tuple[int | None, float], added: Sequence[tuple[int | None, float]]
) -> tuple[int | None, float]:
    """Return rows and mean tokens of an arm with those of the arms that it adds."""
    parts = [own, *added]
    if any(rows is None for rows, _ in parts):
        return None, own[1]
    total = sum(rows or 0 for rows, _ in parts)
    tokens = sum((rows or 0) * each for rows, each in parts)
    return total, tokens / max(total, 1)


def _measured(path: Path) -> tuple[int, float]:
    rows = characters = 0
    for row in read_rows(path):
        rows += 1
        characters += sum(len(value) for value in row.values() if isinstance(value, str))
    return rows, characters / rows / CHARACTERS_A_TOKEN
