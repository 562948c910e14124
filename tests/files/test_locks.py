"""Locks: one holder at a time, also where the disk is full."""

from __future__ import annotations

from pathlib import Path

import pytest

from cotdistill.errors import FaultsError
from cotdistill.files.locks import free_lock, lock_holder, only_writer, take_lock


def test_a_lock_has_one_holder_and_says_who_took_it(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    first = take_lock(path, "me")
    assert first is not None
    assert take_lock(path, "you") is None
    assert lock_holder(path) == "me"
    with pytest.raises(FaultsError, match="another program is writing it"), only_writer(path):
        pass
    free_lock(first)
    with only_writer(path):
        assert lock_holder(path).startswith("process ")


def test_a_lock_is_taken_where_the_disk_is_full() -> None:
    descriptor = take_lock(Path("/dev/full"), "me")  # takes not one byte
    assert descriptor is not None
    free_lock(descriptor)


def test_a_lock_where_nothing_can_be_written_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FaultsError, match=r"a part of the path is a file.*; choose another"):
        take_lock(tmp_path / "file" / ".lock", "me")
