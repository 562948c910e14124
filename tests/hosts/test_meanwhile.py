"""Pieces of work are done in the pauses of an event loop, and what they raise is not lost."""

from __future__ import annotations

import asyncio

import pytest

from cotdistill.hosts import meanwhile as module
from cotdistill.hosts.meanwhile import Meanwhile


def test_work_is_done_piece_by_piece_until_none_is_left() -> None:
    left = list(range(2000))
    done = asyncio.Event()

    def work() -> bool:
        if left:
            left.pop()
        else:
            done.set()
        return bool(left) or not done.is_set()

    async def main() -> None:
        meanwhile = Meanwhile(work)
        meanwhile.soon()
        meanwhile.soon()  # is due already
        assert len(left) == 2000
        await asyncio.wait_for(done.wait(), 60)
        meanwhile.check()

    asyncio.run(main())
    assert not left


def test_nothing_is_done_without_a_loop_and_a_later_loop_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[int] = []

    async def wait() -> None:
        meanwhile.soon()
        while not done:
            await asyncio.sleep(0.001)

    async def leave() -> None:
        meanwhile.soon()  # the loop ends before

    meanwhile = Meanwhile(lambda: bool(done.append(1)))
    meanwhile.soon()
    with monkeypatch.context() as patch:
        patch.setattr(module, "_BEGINS_AFTER_S", 60)
        asyncio.run(leave())
    assert done == []
    asyncio.run(wait())
    assert done == [1]


def test_what_a_piece_raises_is_raised_where_it_is_asked_for() -> None:
    begun: list[int] = []

    def work() -> bool:
        begun.append(1)
        raise ValueError("broken")

    async def main() -> None:
        meanwhile.soon()
        while not begun:
            await asyncio.sleep(0.001)

    meanwhile = Meanwhile(work)
    asyncio.run(main())
    with pytest.raises(ValueError, match="broken"):
        meanwhile.check()
