"""README.md states what works: its tour is run as typed, its other commands and links exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from cotdistill.studies.study import read_study

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONSOLES = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
YAMLS = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
ONE_PAGE = 130


def commands(block: str) -> list[str]:
    """Return the commands of a console block as typed, without comments."""
    lines = [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
    return [re.sub(r"\s+# .*", "", line) for line in lines]


def test_the_readme_stays_short() -> None:
    assert len(README.splitlines()) <= ONE_PAGE


def test_the_first_two_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert commands(CONSOLES[0]) == ["make demo", "make test"]
    for command in commands(CONSOLES[0]):
        assert re.search(rf"^{command.split()[1]}:", makefile, re.MULTILINE)


def test_links_and_pictures_exist() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert len(targets) >= 10
    for target in targets:
        assert (ROOT / target).exists(), target


def test_the_install_lines_name_every_extra_that_users_need() -> None:
    with (ROOT / "pyproject.toml").open("rb") as stream:
        extras = set(tomllib.load(stream)["project"]["optional-dependencies"]) - {"dev"}
    install = README.partition("## Install")[2].partition("## ")[0]
    assert {name for name in extras if f"`{name}`" in install} == extras
    for named in re.findall(r"\[([a-z,]+)\]\"", install):
        assert set(named.split(",")) <= extras


def test_the_studies_of_the_readme_are_valid() -> None:
    tour, gpu = (yaml.safe_load(text) for text in YAMLS)
    read_study(tour, "tour")
    study: dict[str, Any] = {**tour, **gpu}
    assert read_study(study, "gpu").hardware.gpus == 1


@pytest.mark.host
def test_the_tour_runs_as_typed(tmp_path: Path) -> None:
    """In a shell without .venv on its PATH, from a folder in which .venv is, as in a checkout."""
    environment = Path(sys.executable).parents[1]
    assert (environment / "bin" / "activate").is_file()
    (tmp_path / ".venv").symlink_to(environment)
    (tmp_path / "my-study.yaml").write_text(YAMLS[0])
    typed = [*commands(CONSOLES[1]), *commands(CONSOLES[2])]
    assert typed[0] == "source .venv/bin/activate"
    assert sum(line.startswith("cotdistill ") for line in typed) == 6
    outside = {**os.environ, "PATH": "/usr/local/bin:/usr/bin:/bin"}
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(typed)],
        cwd=tmp_path,
        env=outside,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    assert "cot_puzzles_ball" in done.stdout
    assert (tmp_path / "runs" / "mine" / "report" / "report.html").is_file()
    assert list((tmp_path / "runs" / "by-hand" / "scores").rglob("results_*.json"))
