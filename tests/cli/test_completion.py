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


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_named_shell_is_shown(shell: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cotdistill", "--show-completion", shell],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"_COTDISTILL_COMPLETE=complete_{shell}" in done.stdout


def test_an_unknown_shell_is_refused_and_known_ones_are_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cotdistill", "--show-completion", "nonsuch"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "fish" in done.stderr
    assert "Traceback" not in done.stderr
