"""Work that is done while servers are waited for, so that no reply waits for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

_BEGINS_AFTER_S = 0.0005  # what a turn of the loop sends is sent by then
_PIECE_S = 0.001  # replies that come meanwhile wait for no longer


class Meanwhile:
    """Does small pieces of work in the pauses of the event loop that runs, if one does.

    `work` does one piece and returns whether there is more. Whoever needs the work done at once
    does it: nothing depends on a pause, and without a loop nothing is done here.
    """

    def __init__(self, work: Callable[[], bool]) -> None:
        self._work = work
        self._loop: asyncio.AbstractEventLoop | None = None  # in which a piece is due
        self._failure: Exception | None = None

    def soon(self) -> None:
        """Have pieces done when what is under way has been sent."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if self._loop is not loop:
            self._loop = loop
            loop.call_later(_BEGINS_AFTER_S, self._pieces)

    def check(self) -> None:
        """Raise what a piece of work raised."""
        if self._failure is not None:
            raise self._failure

    def _pieces(self) -> None:
        loop, self._loop = self._loop, None
        assert loop is not None
        end = time.perf_counter() + _PIECE_S
        try:
            while more := self._work():
                if time.perf_counter() > end:
                    break
        except Exception as error:
            self._failure = error
            return
        if more:
            self._loop = loop
            loop.call_soon(self._pieces)
