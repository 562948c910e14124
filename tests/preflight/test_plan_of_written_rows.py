"""What `plan` says of rows that a model writes, of a judge, and of a teacher's memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cotdistill.files.yamls import dump_yaml
from cotdistill.preflight.asking import asked_table
from cotdistill.preflight.cost import model_memory
from cotdistill.preflight.plan import plan
from cotdistill.preflight.plan_tables import as_json, cost_table
from cotdistill.preflight.planned import Assumed, Plan
from trace_rows import write_jsonl


@pytest.fixture
def made(tmp_path: Path) -> Any:
    """Return the plan of a study of one taught arm, changed by keys."""
    write_jsonl(
        tmp_path / "q.jsonl", [{"question": f"{n} + 1?", "gold": str(n)} for n in range(40)]
    )

    def planned(**keys: Any) -> Plan:
        teach = {"questions": "q", "teacher": "big", "level": 1, "samples": 2}
        study = {
            "schema_version": 2,
            "name": "planned",
            "models": {"big": {"endpoint": "http://127.0.0.1:9/v1", "model": "m"}},
            "students": ["Qwen2.5-0.5B-Instruct"],
            "questions": {"q": {"file": "q.jsonl", "dev": 10}},
            "arms": {"taught": {"teach": teach, **keys.pop("arm", {})}, **keys.pop("arms", {})},
            "recipes": {"full": {"epochs": 1}},
            "evaluation": {"tasks": ["cot_gsm8k"], "generation": {"max_gen_toks": 64}},
            **keys,
        }
        path = tmp_path / "s.yaml"
        path.write_text(dump_yaml(study))
        return plan(str(path), [], Assumed())

    return planned


def test_development_questions_are_not_counted_as_asked(made: Any) -> None:
    (asked,) = made().asked
    assert asked.requests == 60  # 40 questions less 10, two samples each
    assert asked_table((asked,)).rows[0][2] == "60"


def test_all_development_questions_are_subtracted_also_where_few_of_them_are_asked(
    made: Any,
) -> None:
    found = made(questions={"q": {"file": "q.jsonl", "dev": 10, "largest_number": 9}})
    assert found.asked[0].requests == 60


def test_rows_that_a_teacher_will_write_are_estimated_and_said_to_be(made: Any) -> None:
    found = made()
    (run,) = found.runs
    assert run.rows == 60
    assert run.tokens == 4 * 16 * (52 + 60 + 15)  # 35 words of level 1, question, template
    assert any(
        note.startswith("estimated: rows that a model writes") for note in cost_table(found).notes
    )
    (run,) = made(arm={"filter": {"per_question": 1}}).runs
    assert run.rows == 30


def test_rows_of_other_arms_are_added_to_written_ones(made: Any) -> None:
    found = made(arm={"with": ["golds"]}, arms={"golds": {"answers": "q"}})
    assert {run.run.arm: run.rows for run in found.runs} == {"taught": 60 + 40, "golds": 40}


def test_a_judge_is_priced_where_there_is_one(made: Any) -> None:
    without, judged = made(), made(judge={"model": "big"})
    assert (without.has_judge, judged.has_judge) == (False, True)
    assert not any("judge" in note for note in cost_table(without).notes)
    assert any("judge at most" in note for note in cost_table(judged).notes)
    assert as_json(without)["judge_requests"] == 0 < as_json(judged)["judge_requests"]


def test_a_teacher_takes_memory_next_to_its_student(made: Any) -> None:
    (alone,) = made().runs
    recipe = {"epochs": 1, "kd": {"teacher": "Qwen2.5-7B-Instruct"}}
    (taught,) = made(recipes={"full": recipe}).runs
    assert taught.memory - alone.memory == pytest.approx(model_memory(7.62), rel=0.01)
    (wide,) = made(recipes={"full": recipe | {"precision": "fp32"}}).runs
    assert wide.memory - alone.memory == pytest.approx(model_memory(7.62, 4.0), rel=0.01)


def test_a_teacher_takes_time_for_each_token_of_its_student(made: Any) -> None:
    (alone,) = made().runs
    recipe = {"epochs": 1, "kd": {"teacher": "Qwen2.5-7B-Instruct"}}
    (taught,) = made(recipes={"full": recipe}).runs
    size = alone.run.student.parameters
    assert taught.tokens == alone.tokens
    assert taught.hours / alone.hours == pytest.approx((8 * size + 2 * 7.62) / (8 * size), rel=0.01)


def test_an_answer_is_not_taken_to_be_longer_than_tasks_allow(made: Any) -> None:
    found = made()
    assert found.assumed.generated == 64
    assert any("64 tokens per answer, at most what tasks allow (--answer-tokens)" in note
               for note in cost_table(found).notes)  # fmt: skip


def test_the_number_of_development_questions_is_planned(made: Any) -> None:
    assert "development questions, in no arm: q (10 of 40)" in made().design.notes
    few = {"file": "q.jsonl", "dev": 10, "largest_number": 9}
    notes = made(questions={"q": few}).design.notes
    assert "development questions, in no arm: q (10 of 40, 2 of them asked)" in notes
