"""What is said of a stage's program before it is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from cotdistill.hosts.machine.program import program_fault


@pytest.mark.parametrize(("stage", "extra"), [("evaluate", "[eval]"), ("prepare", "")])
def test_an_environment_without_cotdistill_is_named_with_the_command_that_installs_it(
    stage: str, extra: str, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    fault = program_fault(stage, [str(tmp_path / "bin" / "cotdistill"), "eval"], {})
    assert str(fault) == (
        f"the {stage} stage: {tmp_path}/bin/cotdistill: cotdistill is not installed in this "
        f"environment; {tmp_path}/bin/python -m pip install 'cotdistill{extra}'"
    )
