"""What the tests of `teach` share."""

from __future__ import annotations

from pathlib import Path

import pytest

from teacher import write_questions


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    return write_questions(tmp_path / "questions.jsonl", 6)
