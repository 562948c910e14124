"""What a decision about a loop says in the log of its job."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cotdistill.improve.choose import choose
from cotdistill.improve.decide import decide
from cotdistill.improve.loop import loop_run


def decided(folder: Path, name: str) -> Iterator[str]:
    """Decide about a round, or choose a loop's round, and yield what to say of it.

    Raises:
        DataError: scores or records are missing or broken.
    """
    if not loop_run(folder, name).round:
        choice = choose(folder, name)
        scores = ", ".join("-" if one is None else f"{one:.1%}" for one in choice.dev)
        yield f"round {choice.round} is chosen (development scores by round: {scores})"
        yield choice.reason
        return
    found = decide(folder, name)
    yield (
        f"round {found.round}: {found.dev:.1%} on the development questions, {found.gain:+.1f} "
        f"points ({found.low:+.1f} to {found.high:+.1f}) on the best round before"
    )
    yield from (f"alarm: {line}" for line in found.alarms)
    yield f"{found.verdict}: {found.reason}"
