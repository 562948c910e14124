"""Tab completion: verbs and options are completed, and only the verb in question is loaded."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def completed(line: str) -> str:
    """Return what bash gets for a line whose last word is being completed."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    asked = {"_COTDISTILL_COMPLETE": "complete_bash"}
    done = subprocess.run(
        [sys.executable, "-m", "cotdistill"],
        env=os.environ | words | asked,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("cotdistill pl", ["plan"]),
        ("cotdistill re", ["report", "rescore"]),
        ("cotdistill plan --me", ["--memory"]),
        ("cotdistill run runs/x --keep", ["--keep-going"]),
    ],
)
def test_verbs_and_their_options_are_completed(line: str, words: list[str]) -> None:
    assert sorted(completed(line).split()) == words


def test_the_script_for_a_shell_is_shown() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cotdistill", "--show-completion", "bash"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "_COTDISTILL_COMPLETE=complete_bash" in done.stdout
