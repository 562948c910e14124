"""The pages under docs/: links exist, the example study is valid, generated pages are current."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cotdistill.preflight.check import check

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
DECISIONS = [page for page in PAGES if page.startswith("docs/decisions/")]


@pytest.mark.parametrize("page", PAGES)
def test_links_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert ((ROOT / page).parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES)
def test_repository_paths_exist(page: str) -> None:
    """A path in backquotes that begins with a folder of this repository is a file in it."""
    text = (ROOT / page).read_text(encoding="utf-8")
    folders = "docs|plugins|tests|tools|benchmarks|templates|task_configs|dataset_info|studies"
    for path in re.findall(rf"`((?:{folders})/[\w./-]+)`", text):
        assert (ROOT / path).exists(), path


def test_every_page_is_in_the_menu_of_the_site_once() -> None:
    """Decisions are listed on a generated page, which has a place in the menu."""
    menu = re.findall(
        r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(f"docs/{page}" for page in menu) == sorted(set(PAGES) - set(DECISIONS))
    listed = (ROOT / "docs/reference/decisions.md").read_text(encoding="utf-8")
    for page in DECISIONS:
        assert f"(../decisions/{Path(page).name})" in listed


@pytest.mark.parametrize("page", DECISIONS)
def test_a_decision_is_one_page_in_one_form(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    number = Path(page).name[:4]
    assert re.match(rf"# {number} [A-Z]", text)
    parts = re.findall(r"^\*\*(Context|Choice|Cost)\.\*\*", text, re.MULTILINE)
    assert parts == ["Context", "Choice", "Cost"]
    assert not re.search("^##", text, re.MULTILINE)


def test_the_generated_pages_are_current() -> None:
    script = ROOT / "tools" / "reference_pages.py"
    done = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stderr}run: .venv/bin/python tools/reference_pages.py"


def test_the_example_study_has_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conda = tmp_path / "bin/conda"  # its evaluation environment; `check` looks for the command
    conda.parent.mkdir()
    conda.touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{conda.parent}{os.pathsep}{os.environ['PATH']}")
    text = (ROOT / "docs" / "reference" / "study-files.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert yaml.safe_load(example)["name"] == "mine"
    (tmp_path / "mine.yaml").write_text(example)
    for name in ("long", "short", "spare"):
        rows = [{"question": f"q{n}", "answer": f"The answer is {n}"} for n in range(5)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(text)
    monkeypatch.setenv("COTDISTILL_DATA", str(tmp_path / "nothing-prepared"))
    sums = [f'{{"question": "{n} + 1?", "gold": "{n + 1}"}}\n' for n in range(30)]
    (tmp_path / "sums.jsonl").write_text("".join(sums))
    checked = check(str(tmp_path / "mine.yaml"))
    assert [str(fault) for fault in checked.faults] == []
    compared = "1 arm against the development questions of sums (3)"
    assert checked.looked_at == ("study mine: 24 runs", compared)


def test_the_glossary_defines_each_term_once() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    terms = [term for row in re.findall(r"^\| (\*\*.*?) \|", text, re.MULTILINE)
             for term in re.findall(r"\*\*(.*?)\*\*", row)]  # fmt: skip
    assert len(terms) == len(set(terms))
    wanted = ["arm", "recipe", "ledger", "trace", "level", "format", "run", "study", "question"]
    assert {*wanted, "run folder", "reference answer"} <= set(terms)
