"""The documents' study is a study."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from cotdistill.preflight.check import check

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (ROOT / "docs" / target).exists(), target


def test_the_study_that_the_page_explains_has_no_fault(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
    (written,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert yaml.safe_load(written)["name"] == "mine"
    (tmp_path / "mine.yaml").write_text(written)
    for name in ("long", "short", "spare"):
        rows = [{"question": f"q{n}", "answer": f"The answer is {n}"} for n in range(5)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(text)
    found = check(str(tmp_path / "mine.yaml"))
    assert [str(fault) for fault in found.faults] == []
    assert found.looked_at == ("study mine: 24 runs",)
