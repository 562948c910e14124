"""The rows of an arm that ask a question are found, in whatever form they write its choices."""

from __future__ import annotations

from pathlib import Path

import pytest

from cotdistill.benchmarks.question import question_text
from cotdistill.results.report.training_rows import training_rows
from trace_rows import write_jsonl

DOCUMENT = {
    "question": "Sammy looks for many people in one place. Where might he go?",
    "options": {"A": "desert", "B": "populated areas", "C": None},
}


@pytest.mark.parametrize("choices", [
    "\n\nAnswer choices:\nA. desert\nB. populated areas",
    " Answer choices: A: desert, B: populated areas",
    "\nWhich choice is true? Answer choices: (A) desert, (B) populated areas.",
])  # fmt: skip
def test_a_row_with_choices_is_found_by_the_document_of_its_question(
    choices: str, tmp_path: Path
) -> None:
    asked = str(DOCUMENT["question"])
    path = tmp_path / "arm.jsonl"
    write_jsonl(path, [{"instruction": asked + choices, "output": "The answer is B"}])
    (found,) = training_rows({"arm": path}, [question_text(DOCUMENT)]).values()
    assert found.matches == {0: [0]}
