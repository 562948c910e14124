"""What cannot be printed is not done: one line, and no exit status 0."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("words", ["--help", "--version", "list studies", "schema"])
def test_a_full_disk_behind_stdout_is_a_failure_in_one_line(words: str) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        command = [sys.executable, "-m", "cotdistill", *words.split()]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "No space left on device\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_fault(closed: str) -> None:
    command = f"exec {sys.executable} -m cotdistill list studies {closed}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("quickstart" in done.stdout) == (">&-" not in closed.replace("2>&-", ""))


def test_no_file_takes_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    out = tmp_path / "kept.jsonl"
    row = {"question": "1 + 1?", "rationale": "1 + 1 = 2. The answer is 2.", "gold": "2"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    command = f"exec {sys.executable} -m cotdistill filter rows.jsonl -o {out} >&- 2>&-"
    assert subprocess.run(["bash", "-c", command], cwd=tmp_path, check=False).returncode == 0
    assert [json.loads(line)["gold"] for line in out.read_text().splitlines()] == ["2"]
