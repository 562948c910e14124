"""Run code in another Python: a script of ours, JSON in, one marked JSON line out."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cotdistill.errors import Fault, FaultsError
from cotdistill.hosts.environments import runner

_SHOWN = 300


def ask_python(
    python: Sequence[str],
    script: Path,
    question: Any = None,
    *,
    env: Mapping[str, str] | None = None,
    seconds: float | None = None,
    failure: str = "{}",
    remedy: str = "see `cotdistill doctor`",
) -> Any:
    """Return what the function `answer` of a script makes of a question, in another Python.

    `python` are the words that start it. The script is a file that may import what that Python
    holds, not cotdistill. `env` adds variables; `failure` words what goes wrong around the reason,
    and `remedy` says what to do then.

    Raises:
        FaultsError: it cannot be started, fails, or does not answer in time.
    """
    place = shlex.join(python)
    mark = f"answer-{secrets.token_hex(8)}:"
    # a file, because prefixes such as `conda run` do not pass standard input on
    with tempfile.TemporaryDirectory(prefix="cotdistill-") as folder:
        asked = Path(folder) / "question.json"
        asked.write_text(json.dumps(question), encoding="utf-8")
        command = [*python, "-P", str(Path(runner.__file__)), mark, str(script), str(asked)]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=seconds,
                env={**os.environ, **(env or {})},
            )
        except OSError as error:
            wrong = failure.format(f"cannot be started: {error.strerror}")
            raise FaultsError(Fault(place, wrong, "a Python interpreter", remedy)) from error
        except subprocess.TimeoutExpired as error:
            wrong = failure.format(f"did not answer within {seconds:.0f} s")
            raise FaultsError(Fault(place, wrong, "", remedy)) from error
    answers = [line for line in done.stdout.splitlines() if line.startswith(mark)]
    if done.returncode or len(answers) != 1:
        wrong = failure.format(_reason(done.stderr, done.returncode))
        raise FaultsError(Fault(place, wrong, "", remedy))
    return json.loads(answers[0].removeprefix(mark))


def _reason(stderr: str, status: int) -> str:
    """The last line that a Python wrote before it failed, or its exit status."""
    if "Unknown option: -P" in stderr:
        return "its Python is older than 3.11; make the environment with Python 3.11 to 3.13"
    lines = stderr.strip().splitlines()
    return lines[-1][:_SHOWN] if lines else f"exit status {status}"
