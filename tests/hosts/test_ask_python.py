"""Code that runs in another Python: answers, noise, failures, and what its folder may not hide."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cotdistill.errors import FaultsError
from cotdistill.hosts.environments.ask_python import ask_python

PYTHON = [sys.executable, "-S"]


def script(folder: Path, body: str) -> Path:
    path = folder / "script.py"
    path.write_text(f"def answer(question):\n    {body}\n")
    return path


def test_an_answer_is_found_among_whatever_else_is_printed(tmp_path: Path) -> None:
    body = "print('answer-0:1\\nloading'); import os; os.write(1, b'no line end'); return question"
    question = {"π": ["half \ud800", None, 1.5]}
    assert ask_python(PYTHON, script(tmp_path, body), question) == question


def test_the_script_s_folder_hides_nothing_of_the_library(tmp_path: Path) -> None:
    (tmp_path / "inspect.py").write_text("raise RuntimeError('the wrong one')")
    body = "import inspect, sys; return inspect.__name__, sys.path[:1]"
    name, first = ask_python(PYTHON, script(tmp_path, body))
    assert name == "inspect"
    assert str(tmp_path) not in first


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise ValueError('it broke')", "asked (ValueError: it broke)"),
        ("import sys; sys.exit(3)", "asked (exit status 3)"),
        ("import os; os._exit(0)", "asked (exit status 0)"),
        ("return {1, 2}", "asked (TypeError: Object of type set is not JSON serializable)"),
        ("import no_such_module", "No module named 'no_such_module'"),
    ],
)
def test_what_goes_wrong_is_one_line_with_the_way_out(
    body: str, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(FaultsError) as raised:
        ask_python(PYTHON, script(tmp_path, body), failure="asked ({})")
    (fault,) = raised.value.faults
    assert reason in fault.wrong
    assert fault.remedy == "see `cotdistill doctor`"


def test_a_python_that_is_not_there_hangs_or_is_too_old_is_named(tmp_path: Path) -> None:
    with pytest.raises(FaultsError, match="cannot be started: No such file"):
        ask_python(["/nowhere/python"], script(tmp_path, "return 1"))
    with pytest.raises(FaultsError, match="did not answer within 1 s"):
        ask_python(PYTHON, script(tmp_path, "import time; time.sleep(60)"), seconds=1)
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\necho 'Unknown option: -P' >&2\nexit 2\n")
    old.chmod(0o755)
    with pytest.raises(FaultsError, match=r"its Python is older than 3\.11"):
        ask_python([str(old)], script(tmp_path, "return 1"))


def test_no_question_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    code = (
        "import sys; from pathlib import Path\n"
        "from cotdistill.hosts.environments.ask_python import ask_python\n"
        "print(ask_python([sys.executable], Path(sys.argv[1]), 'x'))"
    )
    (tmp_path / "in").mkdir()
    path = script(tmp_path / "in", "return question * 2")
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True,
        env=dict(os.environ),
    )  # fmt: skip
    assert done.stdout == "xx\n"
    assert [one.name for one in tmp_path.iterdir()] == ["in"]
