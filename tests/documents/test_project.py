"""What outsiders meet: workflows, changelog, citation, how to contribute; their claims hold."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import cotdistill

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PAPERS = ("2502.18001", "2502.12143", "2507.01887", "2410.09037", "2411.00750")


def jobs_of(workflow: Path) -> dict[str, dict[str, Any]]:
    jobs: dict[str, dict[str, Any]] = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"]
    return jobs


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_pins_its_actions_and_has_no_more_rights_than_it_needs(workflow: Path) -> None:
    text = workflow.read_text(encoding="utf-8")
    assert re.search(r"^permissions: \{\}$", text, re.MULTILINE)
    assert "Not yet run on GitHub" in text
    pins = (ROOT / ".github" / "PINS.md").read_text(encoding="utf-8")
    for action in re.findall(r"uses: (\S+)", text):
        name, _, commit = action.partition("@")
        assert re.fullmatch(r"[0-9a-f]{40}", commit), action
        assert f"`{name}`" in pins
    for name, job in jobs_of(workflow).items():
        assert job["timeout-minutes"] <= 120, name
        for step in job["steps"]:
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_what_a_workflow_runs_is_there(workflow: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for job in jobs_of(workflow).values():
        for step in job["steps"]:
            line = step.get("run", "")
            for words in re.findall(r"\bmake ((?:[a-z-]+ ?)+)", line):
                for target in words.split():
                    assert re.search(rf"^{target}:", makefile, re.MULTILINE), line
            for script in re.findall(r"python (tools/\S+)", line):
                assert (ROOT / script).is_file(), line


def test_a_job_runs_each_python_that_the_package_names() -> None:
    with (ROOT / "pyproject.toml").open("rb") as stream:
        classifiers = tomllib.load(stream)["project"]["classifiers"]
    named = [c.rpartition(" ")[2] for c in classifiers if re.search(r":: 3\.\d+$", c)]
    assert jobs_of(ROOT / ".github/workflows/test.yml")["core"]["strategy"]["matrix"] == {
        "python": named
    }


def test_the_changelog_and_the_citation_have_the_version_of_the_package() -> None:
    script = [sys.executable, str(ROOT / "tools" / "release.py")]
    tag = f"v{cotdistill.__version__}"
    done = subprocess.run([*script, "check", tag], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    wrong = subprocess.run([*script, "check", "v9.9"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 1
    assert wrong.stderr.startswith(f"the tag is v9.9, the package has version {tag[1:]}")
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^##+ (.*)", text, re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    for heading in headings:
        assert heading in kinds or re.match(r"\[(Unreleased|\d+\.\d+\.\d+)\]", heading)


def test_the_five_papers_can_be_cited() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    references = cited["references"]
    values = [entry["identifiers"][0]["value"] for entry in references]
    assert values == [f"arXiv:{paper}" for paper in PAPERS]
    assert all(author["family-names"] for entry in references for author in entry["authors"])


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md", ".github/PINS.md"])
def test_links_and_paths_of_the_project_pages_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (ROOT / page).parent.joinpath(target).exists(), target
    for path in re.findall(r"`((?:plugins|tests|tools|docs)/[\w./-]+)`", text):
        assert (ROOT / path).exists(), path
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for words in re.findall(r"(?:`|\$ )make ((?:[a-z-]+ ?)+)", text):
        for target in words.split():
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_issue_forms_and_settings_are_valid_yaml() -> None:
    files = [*(ROOT / ".github").rglob("*.yml"), ROOT / ".pre-commit-config.yaml"]
    assert len(files) >= 8
    for path in files:
        assert yaml.safe_load(path.read_text(encoding="utf-8"))
    ours = {"bug.yml", "proposal.yml"}
    for name in ours:
        form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE" / name).read_text(encoding="utf-8"))
        assert form["name"]
        assert form["description"]
        assert all(part["attributes"]["label"] for part in form["body"])
