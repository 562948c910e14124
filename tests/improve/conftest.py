"""A generated run folder with a loop, whose samples and scores the tests write."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from cotdistill.cli.main import main
from loop_folder import START, LoopFolder, study, write_inputs


@pytest.fixture(scope="session")
def generated_loop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loop")
    write_inputs(folder)
    (folder / "study.yaml").write_text(yaml.safe_dump(study(), sort_keys=False))
    assert main(["generate", str(folder / "study.yaml"), "-o", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture
def loop(generated_loop: Path, tmp_path: Path) -> LoopFolder:
    """Return a fresh copy of the generated folder with the weights of the first model."""
    made = LoopFolder(tmp_path / "run")
    shutil.copytree(generated_loop, made.root)
    made.weights(START, seed=0)
    return made
