"""The manifest: one reader and one writer, the bytes of release 0.1, and every kind of damage."""

from __future__ import annotations

import contextlib
import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cotdistill.cli.main import main
from cotdistill.errors import DataError
from cotdistill.runfolder.job import Command
from cotdistill.runfolder.manifest import (
    MANIFEST,
    manifest_text,
    read_manifest,
    write_manifest,
)
from run_folder import manifest_run

# A line as release 0.1 wrote it.
LINE: dict[str, Any] = {
    "run": "tiny--fine--lora--s42",
    "student": "tiny",
    "arm": "fine",
    "recipe": "lora",
    "seed": 42,
    "files": {
        "train": "train/tiny--fine--lora--s42.yaml",
        "export": "export/tiny--fine--lora--s42.yaml",
        "eval": "eval/tiny--fine--lora--s42.yaml",
        "data": "data/fine.jsonl",
        "student": "models/tiny--fine",
    },
    "outputs": {
        "train": "checkpoints/tiny--fine--lora--s42",
        "export": "exported/tiny--fine--lora--s42",
        "evaluate": "scores/tiny--fine--lora--s42",
    },
    "stages": {
        "prepare": None,
        "train": {
            "command": ["llamafactory-cli", "train", "/runs/s/train/tiny--fine--lora--s42.yaml"],
            "env": {"FORCE_TORCHRUN": "1", "NPROC_PER_NODE": "4"},
            "gpus": 4,
        },
        "export": {
            "command": ["llamafactory-cli", "export", "/runs/s/export/tiny--fine--lora--s42.yaml"],
            "env": {},
            "gpus": 0,
        },
        "evaluate": {
            "command": ["lm-eval", "run", "--config", "/runs/s/eval/tiny--fine--lora--s42.yaml"],
            "env": {},
            "gpus": 1,
        },
    },
    "sha256": {"train": "aa", "export": "bb", "eval": "cc", "data": "dd", "student": "ee"},
}
KEYS = [
    (key, inner)
    for key, value in LINE.items()
    for inner in (value if isinstance(value, dict) else [None])
]
MAY_BE_ABSENT = {
    ("seed", None), ("files", "export"), ("files", "data"), ("files", "student"),
    ("outputs", "export"), ("stages", "prepare"), ("stages", "export"), ("sha256", "export"),
}  # fmt: skip


def write_line(folder: Path, *lines: Any) -> Path:
    path = folder / MANIFEST
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_a_line_of_release_0_1_is_read_and_written_back_to_the_byte(tmp_path: Path) -> None:
    path = write_line(tmp_path, LINE)
    (run,) = read_manifest(tmp_path)
    assert (run.run, run.seed, run.files.data) == ("tiny--fine--lora--s42", 42, "data/fine.jsonl")
    assert run.stages.train == Command(
        ("llamafactory-cli", "train", "/runs/s/train/tiny--fine--lora--s42.yaml"),
        {"FORCE_TORCHRUN": "1", "NPROC_PER_NODE": "4"},
        4,
    )
    assert run.stages.prepare is None
    assert manifest_text([run]) == path.read_text(encoding="utf-8")
    assert not write_manifest(tmp_path, [run])  # the same bytes are not written again


def test_limits_for_a_cluster_are_read_and_written(tmp_path: Path) -> None:
    line = copy.deepcopy(LINE)
    line["stages"]["train"] |= {"minutes": 90, "memory_mb": 5000}
    path = write_line(tmp_path, line)
    (run,) = read_manifest(tmp_path)
    assert (run.stages.train.minutes, run.stages.train.memory_mb) == (90, 5000)
    assert manifest_text([run]) == path.read_text(encoding="utf-8")


def test_a_key_of_a_newer_version_is_left_unread(tmp_path: Path) -> None:
    write_line(tmp_path, LINE | {"mentor": "big"})
    assert read_manifest(tmp_path)[0].arm == "fine"


@pytest.mark.parametrize(("key", "inner"), KEYS)
def test_a_missing_key_is_named_unless_it_may_be_absent(
    tmp_path: Path, key: str, inner: str | None
) -> None:
    line = copy.deepcopy(LINE)
    if inner is None:
        del line[key]
    else:
        del line[key][inner]
    write_line(tmp_path, line)
    name = key if inner is None else f"{key}.{inner}"
    if (key, inner) in MAY_BE_ABSENT:
        assert len(read_manifest(tmp_path)) == 1
    else:
        with pytest.raises(DataError, match=rf"manifest\.jsonl:1: not a run \(no {name}\)"):
            read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"run": "../../etc/passwd"}, 'run: "../../etc/passwd" is not a name inside the folder'),
        ({"arm": "/data"}, 'arm: "/data" is not a name inside the folder'),
        ({"seed": "42"}, 'seed: "42" is not a whole number'),
        ({"seed": True}, "seed: true is not a whole number"),
        ({"files": ["train"]}, 'files: ["train"] is not an object'),
        ({"files": LINE["files"] | {"train": 3}}, "files.train: 3 is not a name"),
        (
            {"stages": LINE["stages"] | {"train": "llamafactory-cli"}},
            'stages.train: "llamafactory-cli" is not an object',
        ),
        (
            {"stages": LINE["stages"] | {"train": {"command": "ls", "gpus": 1}}},
            'stages.train.command: "ls" is not a list of words',
        ),
        (
            {"stages": LINE["stages"] | {"evaluate": {"command": ["ls"], "gpus": -1}}},
            "stages.evaluate.gpus: -1 is not a whole number of 0 or more",
        ),
        (
            {"stages": LINE["stages"] | {"export": {"command": ["ls"], "env": ["A=1"]}}},
            'stages.export.env: ["A=1"] is not an object',
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_key(
    tmp_path: Path, change: dict[str, Any], wrong: str
) -> None:
    write_line(tmp_path, LINE | change)
    with pytest.raises(DataError) as caught:
        read_manifest(tmp_path)
    (fault,) = caught.value.faults
    assert fault.place == f"{tmp_path / MANIFEST}:1"
    assert wrong in fault.wrong
    assert "generate it again" in fault.remedy


def test_two_dots_inside_a_name_are_no_way_out_of_the_folder(tmp_path: Path) -> None:
    write_line(tmp_path, LINE | {"arm": "level1..3"})
    assert read_manifest(tmp_path)[0].arm == "level1..3"


def test_all_faults_of_all_lines_are_reported_at_once(tmp_path: Path) -> None:
    path = write_line(
        tmp_path, LINE, LINE, {"question": "1+1?"}, [1], LINE | {"run": "b", "arm": 1}
    )
    with path.open("ab") as stream:
        stream.write(b'{"half\n\xff\n')
    with pytest.raises(DataError) as caught:
        read_manifest(tmp_path)
    found = [(f.place.rpartition(":")[2], f.wrong) for f in caught.value.faults]
    assert [line for line, _ in found] == ["2", "3", "4", "5", "6", "7"]
    assert found[0][1] == "the run 'tiny--fine--lora--s42' stands twice, first in line 1"
    assert found[1][1].startswith("not a run (no run, student, arm, recipe, files.train")


def test_the_manifest_of_another_program_gets_clear_lines_from_every_verb(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_line(tmp_path, {"audio_filepath": "a.wav", "duration": 1.5})
    for words in (["report"], ["run", "--dry-run"], ["step", "train", "x", "--folder"]):
        assert main([*words, str(tmp_path)]) == 1
        assert "manifest.jsonl:1: not a run (no run, student" in capsys.readouterr().err


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_damaged_bytes_give_a_fault_or_are_harmless(tmp_path: Path, data: st.DataObject) -> None:
    good = manifest_text([manifest_run("a", data="data/a.jsonl"), manifest_run("b")]).encode()
    at = data.draw(st.integers(0, len(good)))
    length = data.draw(st.integers(0, 40))
    put = data.draw(st.binary(max_size=8) | st.sampled_from([b"null", b"[]", b"{}", b"0", b'"x"']))
    (tmp_path / MANIFEST).write_bytes(good[:at] + put + good[at + length :])
    with contextlib.suppress(DataError):
        read_manifest(tmp_path)
