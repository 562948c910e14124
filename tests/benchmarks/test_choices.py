"""Rows, samples and development questions write answer choices as the packaged tasks ask them."""

from __future__ import annotations

from typing import Any

import jinja2
import pytest

from cotdistill.benchmarks.choices import as_tasks_ask, with_choices, words_key
from cotdistill.hosts.lm_eval.task_files import file_key, packaged_tasks

STEM = "Ann has a cup and Bob a key. They swap. What has Ann?"
OPTIONS = {"A": "cup", "B": "key", "C": "step by step"}
IN_FILES = (
    f"Q: {STEM} Answer choices: A: cup, B: key, C: step by step",  # CoT factors
    f"{STEM}\nAnswer Choices: (A) cup (B) key (C) step by step",  # Guided Self-Improvement
    f"{STEM} Answer Choices:\nA. cup\nB. key\nC. step by step\n",  # Mentor-KD, CommonsenseQA
    f"{STEM}\nWhich choice is true? Answer choices: (A) cup, (B) key, (C) step by step.",
)


def asked(task: str, **more: Any) -> str:
    template = file_key(packaged_tasks()[task], "doc_to_text")
    document = {"question": STEM, "options": {**OPTIONS, "D": None}, **more}
    return (
        jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(template).render(document)
    )


@pytest.mark.parametrize(
    "task", ["cot_csqa", "cot_openbookqa", "cot_aqua", "cot_mathqa", "cot_date"]
)
def test_choices_are_written_byte_for_byte_as_tasks_write_them(task: str) -> None:
    assert with_choices(STEM, OPTIONS) == asked(task, before="", after="")


def test_choices_of_programs_stand_in_a_row_as_in_the_tasks_of_programs() -> None:
    written = with_choices(STEM, OPTIONS, "row")
    assert f"{written} Let's write a program." == asked("cot_aqua_program")


@pytest.mark.parametrize("text", IN_FILES)
def test_every_form_of_the_papers_files_becomes_the_one_of_the_tasks(text: str) -> None:
    assert as_tasks_ask(text, None) == with_choices(STEM, OPTIONS)
    assert words_key(text) == words_key(STEM, OPTIONS)
    assert with_choices(text, OPTIONS) == text


def test_choices_that_the_question_only_mentions_are_not_left_out() -> None:
    assert with_choices(STEM, OPTIONS).endswith("A. cup\nB. key\nC. step by step")
