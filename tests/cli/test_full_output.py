"""What cannot be printed is not done: one line, and no exit status 0."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("words", ["--help", "--version", "list studies", "schema"])
def test_a_full_disk_behind_stdout_is_a_failure_in_one_line(words: str) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        command = [sys.executable, "-m", "cotdistill", *words.split()]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "No space left on device\n")
