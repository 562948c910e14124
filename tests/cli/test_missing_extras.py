"""A verb whose extra is not installed says in one line what to install."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"lm_eval", "datasets", "huggingface_hub"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from cotdistill.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (
            ["eval", "--model", "hf", "--tasks", "cot_gsm8k"],
            2,
            "cotdistill eval: lm-eval is not installed here; type: pip install 'cotdistill[eval]'",
        ),
        (
            ["prepare", "gsm8k"],
            1,
            "openai/gsm8k: needs the datasets library; pip install 'cotdistill[eval]' (or "
            "[train]), or give a local file",
        ),
    ],
)
def test_a_missing_host_is_one_line(
    arguments: list[str], status: int, line: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "COTDISTILL_DATA": str(tmp_path / "data")},
    )
    assert (done.returncode, done.stdout, done.stderr) == (status, "", f"{line}\n")
