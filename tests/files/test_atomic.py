"""A file is there whole or not at all, and what a killed program left is removed by the next."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from cotdistill.errors import FaultsError
from cotdistill.files.atomic import (
    disk_fault,
    folder_written_whole,
    write_text,
    write_texts_if_changed,
    written_whole,
)

SCRIPT = """
import sys, time
from pathlib import Path
from cotdistill.files.atomic import folder_written_whole, write_text, written_whole
path = Path(sys.argv[1])
with folder_written_whole(path / "folder") as folder, written_whole(path / "a.txt") as stream:
    (folder / "inside").write_text("half")
    stream.write("half")
    stream.flush()
    print("writing", flush=True)
    time.sleep(600)
"""


def fail_inside(block: AbstractContextManager[object]) -> None:
    with block:
        raise ZeroDivisionError


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.endswith("~"))


def write_elsewhere(folder: Path) -> None:
    """Write one file from a new process."""
    code = "import sys; from pathlib import Path; from cotdistill.files.atomic import write_text; "
    code += "write_text(Path(sys.argv[1]) / 'b.txt', 'whole')"
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)


def test_what_a_killed_program_left_is_removed_by_the_next_and_nothing_else(tmp_path: Path) -> None:
    other = tmp_path / ".notes.txt~"
    other.write_text("of an editor", encoding="utf-8")
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        write_elsewhere(tmp_path)
        assert len(leftovers(tmp_path)) == 3, "a program that still writes keeps its files"
        os.kill(writer.pid, signal.SIGKILL)
    write_elsewhere(tmp_path)
    assert leftovers(tmp_path) == [other.name]
    assert (tmp_path / "b.txt").read_text(encoding="utf-8") == "whole"


def test_a_folder_whose_replacement_was_killed_gets_its_name_back(tmp_path: Path) -> None:
    old = tmp_path / ".model.123-0a1b2c3d.replaced~"
    old.mkdir()
    (old / "weights").write_text("old", encoding="utf-8")
    write_text(tmp_path / "a.txt", "a")
    assert (tmp_path / "model" / "weights").read_text(encoding="utf-8") == "old"


def test_a_block_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path, folder = tmp_path / "a.txt", tmp_path / "folder"
    write_text(path, "old")
    with folder_written_whole(folder) as new:
        (new / "x").write_text("old", encoding="utf-8")
    for block in (written_whole(path), folder_written_whole(folder)):
        with pytest.raises(ZeroDivisionError):
            fail_inside(block)
    assert path.read_text(encoding="utf-8") == "old"
    assert (folder / "x").read_text(encoding="utf-8") == "old"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.txt", "folder"]


def test_texts_of_one_folder_are_written_only_where_they_differ(tmp_path: Path) -> None:
    folder = tmp_path / "train"
    assert write_texts_if_changed(folder, {"a.yaml": "ä: 1\n", "b.yaml": ""}) == 2
    stamp = (folder / "a.yaml").stat().st_mtime_ns
    assert write_texts_if_changed(folder, {"a.yaml": "ä: 1\n", "b.yaml": "b: 2\n"}) == 1
    assert (folder / "a.yaml").stat().st_mtime_ns == stamp
    assert (folder / "a.yaml").read_text(encoding="utf-8") == "ä: 1\n"
    assert sorted(path.name for path in folder.iterdir()) == ["a.yaml", "b.yaml"]


def test_a_new_folder_of_many_texts_appears_with_all_of_them_or_not_at_all(tmp_path: Path) -> None:
    texts = {f"{number}.yaml": f"number: {number}\n" * 1000 for number in range(300)}
    with pytest.raises(FaultsError, match=r"train: cannot be written"):
        write_texts_if_changed(tmp_path / "train", {**texts, "no/such/folder.yaml": ""})
    assert list(tmp_path.iterdir()) == []
    assert write_texts_if_changed(tmp_path / "train", texts) == 300
    assert write_texts_if_changed(tmp_path / "train", texts) == 0
    changed = {name: f"{text}changed: true\n" for name, text in texts.items()}
    assert write_texts_if_changed(tmp_path / "train", changed) == 300
    read = {path.name: path.read_text("utf-8") for path in (tmp_path / "train").iterdir()}
    assert read == changed
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


def test_a_text_that_cannot_take_its_name_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").mkdir()
    with pytest.raises(FaultsError, match=r"a\.yaml: cannot be written"):
        write_texts_if_changed(tmp_path, {"a.yaml": "a: 1\n"})
    assert [path.name for path in tmp_path.iterdir()] == ["a.yaml"]


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.ENOSPC, "the disk is full; free some space and run it again"),
        (errno.EDQUOT, "the disk quota is used up; free some space and run it again"),
        (errno.EISDIR, "(Is a directory); choose another folder or file name, and run it again"),
        (errno.ELOOP, "choose another folder or file name, and run it again"),
        (errno.ENOENT, "choose another folder or file name, and run it again"),
    ],
)
def test_only_where_space_is_missing_is_one_told_to_free_some(code: int, remedy: str) -> None:
    assert str(disk_fault(Path("a"), OSError(code, os.strerror(code)))).endswith(remedy)


def test_a_name_that_is_too_long_asks_for_another_one(tmp_path: Path) -> None:
    wrong = r"cannot be written \(File name too long\); choose another folder or file name"
    with pytest.raises(FaultsError, match=wrong):
        write_text(tmp_path / ("a" * 300), "")


@pytest.mark.parametrize("kind", ["pipe", "link to a device"])
def test_a_device_or_a_pipe_is_never_replaced_by_a_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(os.devnull)
    with pytest.raises(FaultsError, match="a device, a pipe or a socket"):
        write_text(path, "{}")
    assert not path.is_file()
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.jsonl"]
