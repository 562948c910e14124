"""Ctrl-C and SIGTERM while models are asked: what is under way is kept."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from cotdistill.teach.engine import Engine


@contextlib.contextmanager
def stopped_gently(engine: Engine) -> Iterator[None]:
    """On the first Ctrl-C, send nothing more and keep what is under way; the second stops at once.

    SIGTERM counts as the first, so that workflows and schedulers stop it without loss.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        if engine.stopped and number == signal.SIGINT:
            raise KeyboardInterrupt
        engine.stopped = True
        engine.spent.stopped = "an interrupt"

    try:
        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
