"""The Python environments of the stages: what each holds, and whether its hosts really import."""

from __future__ import annotations

import functools
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotdistill.errors import FaultsError
from cotdistill.hosts.environments import check_import, probe
from cotdistill.hosts.environments.ask_python import ask_python

_PROBE = Path(probe.__file__)
_IMPORT = Path(check_import.__file__)
_REMEDY = "check the stage's environment prefix"
_PROBE_SECONDS = 120
_IMPORT_SECONDS = 600


@dataclass(frozen=True)
class Environment:
    """What one environment holds; `python` are the words that start its interpreter.

    `unmet` maps a distribution to its requirements that are not met, each with the version that is
    there or None. `torch` holds what torch was built with: {"cuda": ..., "hip": ...}, or nothing.
    """

    python: tuple[str, ...]
    version: tuple[int, ...] = (3, 11)
    platform: str = "linux"
    versions: dict[str, str] = field(default_factory=dict)
    unmet: dict[str, list[tuple[str, str | None]]] = field(default_factory=dict)
    torch: dict[str, str | None] = field(default_factory=dict)
    cuda_bound: tuple[str, ...] = ()
    gpus: int = 0
    threads: str | None = None

    @property
    def pip(self) -> str:
        """Return the words that install into this environment."""
        return shlex.join([*self.python, "-m", "pip", "install"])


def python_of(prefix: str) -> tuple[str, ...]:
    """Return the words that start a stage's interpreter: none given, a venv, or a command prefix.

    >>> python_of("conda run -n eval")
    ('conda', 'run', '-n', 'eval', 'python')
    """
    if not prefix.strip():
        return (sys.executable,)
    inside = Path(prefix.strip()).expanduser() / "bin" / "python"
    return (str(inside),) if inside.exists() else (*shlex.split(prefix), "python")


@functools.cache
def look_into(python: tuple[str, ...]) -> Environment:
    """Return the contents of an environment; nothing in it is imported.

    Raises:
        FaultsError: its interpreter cannot be started.
    """
    facts: dict[str, Any] = ask_python(python, _PROBE, seconds=_PROBE_SECONDS, remedy=_REMEDY)
    return Environment(
        python=python,
        version=tuple(facts["python"]),
        platform=facts["platform"],
        versions=facts["versions"],
        unmet={
            name: [(wanted, here) for wanted, here in lacking]
            for name, lacking in facts["unmet"].items()
        },
        torch=facts["torch"],
        cuda_bound=tuple(facts["cuda_bound"]),
        gpus=facts["gpus"],
        threads=facts["threads"],
    )


def import_fault(python: tuple[str, ...], statement: str) -> str | None:
    """Return why an import fails in an environment, or None when it works; takes seconds."""
    try:
        ask_python(python, _IMPORT, statement, seconds=_IMPORT_SECONDS)
    except FaultsError as error:
        return error.faults[0].wrong
    return None
