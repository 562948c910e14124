"""The questions behind a study's tasks are looked for before anything is trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cotdistill.benchmarks.needed import benchmarks_behind, bring_questions
from cotdistill.benchmarks.packaged import benchmark_names
from cotdistill.benchmarks.prepare import prepare
from cotdistill.hosts.lm_eval.task_files import packaged_tasks


def test_every_packaged_benchmark_is_behind_some_task() -> None:
    assert sorted(benchmarks_behind(packaged_tasks())) == sorted(benchmark_names())


def test_a_group_asks_what_its_members_ask() -> None:
    names = ["aime24", "amc23", "olympiadbench", "gsm8k", "math500"]
    assert benchmarks_behind(["cot_micota"]) == names
    assert benchmarks_behind(["AIME", "AMC", "Olympiad", "gsm8k_zero"]) == names[:4]


def test_a_task_of_lm_eval_s_own_is_left_to_it() -> None:
    assert benchmarks_behind(["hellaswag"]) == []


def test_prepared_questions_are_not_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COTDISTILL_DATA", str(tmp_path / "data"))
    rows = [
        {"question": f"What is {n} + 1?", "answer": f"So {n + 1}.\n#### {n + 1}"} for n in (1, 2)
    ]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    prepare("gsm8k", tmp_path / "test.jsonl", any_size=True)
    assert bring_questions(["cot_gsm8k"]) == []
