"""No output is an input by any name; a file that changes while it is read is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cotdistill.errors import DataError, MisuseError
from cotdistill.files.atomic import sha256_of
from cotdistill.files.inputs import InputFiles, refuse_overwriting
from cotdistill.files.shards import Shard, _past_line_end, lines_of, shards_of


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("{}\n{}\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["rows.jsonl", "link.jsonl", "hard.jsonl", "sub/../rows.jsonl"])
def test_an_output_that_is_an_input_is_refused_under_every_name(rows: Path, name: str) -> None:
    (rows.parent / "sub").mkdir()
    (rows.parent / "link.jsonl").symlink_to(rows)
    os.link(rows, rows.parent / "hard.jsonl")
    with pytest.raises(MisuseError, match="is an input; choose another name"):
        refuse_overwriting([rows], [rows.parent / "new.jsonl", rows.parent / name])


def test_an_input_that_does_not_exist_yet_is_still_compared_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match="is an input"):
        refuse_overwriting([tmp_path / "a.jsonl"], [tmp_path / "." / "a.jsonl"])


def test_two_outputs_of_one_name_are_refused_with_all_other_faults(rows: Path) -> None:
    twice = rows.parent / "new.jsonl"
    with pytest.raises(MisuseError) as refused:
        refuse_overwriting([rows], [rows, twice, twice])
    assert len(str(refused.value).splitlines()) == 2


def test_an_input_inside_a_folder_that_will_be_emptied_is_refused(rows: Path) -> None:
    with pytest.raises(MisuseError, match=r"rows\.jsonl: is inside"):
        refuse_overwriting([rows], [], [rows.parent])


@pytest.mark.parametrize(
    "change", ["longer", "other bytes", "other bytes at the same time", "gone"]
)
def test_a_file_that_changed_after_it_was_looked_at_is_named(rows: Path, change: str) -> None:
    states = InputFiles.of([rows, rows.parent / "missing.jsonl"])
    states.refuse_changes()
    if change == "gone":
        rows.unlink()
    else:
        before = rows.stat()
        rows.write_text("{}\n{}\n{}\n" if change == "longer" else "[]\n[]\n", encoding="utf-8")
        os.utime(rows, ns=(before.st_atime_ns, before.st_mtime_ns + (change == "other bytes")))

    with pytest.raises(DataError, match=r"rows\.jsonl: the file changed while it was read"):
        states.refuse_changes()


def test_a_file_that_became_shorter_ends_the_reading(rows: Path) -> None:
    shard = Shard(0, 0, str(rows), 0, 100)
    with pytest.raises(DataError, match="the file changed while it was read"):
        list(lines_of(shard))


def test_the_hash_is_of_the_bytes_from_before_the_reading(rows: Path) -> None:
    inputs = InputFiles.of([rows])
    before = sha256_of(rows)
    rows.write_text("[]\n", encoding="utf-8")
    assert inputs.sha256(rows) == before != sha256_of(rows)


def test_each_shard_of_a_line_that_is_longer_than_shards_reads_its_own_bytes_only(
    tmp_path: Path,
) -> None:
    path = tmp_path / "one.jsonl"
    path.write_bytes(b"x" * 1000 + b"\n{}\n")
    shards = shards_of([path], 100)
    lines = [[line.text for line in lines_of(shard)] for shard in shards]
    assert lines == [[b"x" * 1000], *[[]] * 9, [b"{}"]]
    with path.open("rb") as stream:
        stream.seek(199)
        assert not _past_line_end(stream, 300)
        assert stream.tell() == 300
