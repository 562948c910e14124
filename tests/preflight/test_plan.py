"""A plan says what a study costs by formulas one can check by hand, and what it can show."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cotdistill.cli.main import main
from cotdistill.errors import StudyError
from cotdistill.hosts.lm_eval.task_files import task_key
from cotdistill.preflight.cost import (
    Machine,
    training_disk,
    training_memory,
    training_seconds,
    training_steps,
)
from cotdistill.preflight.plan import calibrated, check_budget, plan
from cotdistill.preflight.plan_tables import cost_table, power_table, remedy_table
from cotdistill.preflight.planned import Assumed
from run_folder import add_run, add_scores, write_json

STUDY = """\
schema_version: 1
name: priced
students: [Qwen2.5-0.5B-Instruct]
arms:
  mine: {file: rows.jsonl}
recipes:
  full: {global_batch: 4, epochs: 2, cutoff_len: 64}
seeds: [1, 2]
evaluation: {tasks: [AMC, cot_gsm8k_k4], limit: 1000}
"""


@pytest.fixture
def study(tmp_path: Path) -> str:
    row = '{"question": "' + "q" * 35 + '", "output": "' + "a" * 35 + '"}\n'
    (tmp_path / "rows.jsonl").write_text(row * 10, encoding="utf-8")
    (tmp_path / "study.yaml").write_text(STUDY, encoding="utf-8")
    return str(tmp_path / "study.yaml")


def test_steps_are_counted_as_the_trainer_counts_them() -> None:
    assert training_steps(10, 4, 2, None) == 6
    assert training_steps(8, 4, 2, None) == 4
    assert training_steps(10, 4, None, 7) == 7


def test_the_costs_follow_from_rows_steps_and_size(study: str) -> None:
    made = plan(study, [], Assumed())
    assert [cost.run.seed for cost in made.runs] == [1, 2]
    (one, _) = made.runs
    assert (one.rows, one.steps, one.tokens) == (10, 6, 6 * 4 * (20 + 15))
    assert one.hours == pytest.approx(
        training_seconds(0.49, 840, "full", Machine()) / 3600, rel=0.02
    )
    (other, _) = plan(study, ["prompt.system=" + "s" * 35], Assumed()).runs
    assert other.tokens == 6 * 4 * (20 + 15 + 10)


def test_generated_rows_are_as_long_as_the_trainer_counted_them() -> None:
    """LLaMA-Factory counted 48 tokens a row of answers only and 56 of level 6 in this study."""
    tokens = {
        one.run.arm: one.tokens / one.rows
        for one in plan("quickstart", [], Assumed()).runs
        if one.tokens and one.rows
    }
    assert tokens["answer-only"] == pytest.approx(48, rel=0.2)
    assert tokens["level6"] == pytest.approx(56, rel=0.2)


def test_no_speed_is_assumed_of_a_cpu(study: str) -> None:
    on_cpu = ["hardware.gpus=0"]
    made = plan(study, on_cpu, Assumed())
    assert [cost.hours for cost in made.runs] == [None, None]
    assert made.evaluation_hours is None
    table = cost_table(made)
    assert dict(zip(table.columns, table.rows[0], strict=True))["hours"] == "unknown"
    assert table.notes[0].startswith("2 runs; training unknown hours, evaluation")
    assert "`--calibrate RUNFOLDER` measures it" in table.notes[1]
    assert not [note for note in table.notes if "TFLOP/s" in note or "not counted" in note]
    with pytest.raises(StudyError, match="how long it takes on this machine's CPU is not known"):
        check_budget(made, hours=100, money=None)
    priced = plan(study, on_cpu, Assumed(hour_price=2.0))
    assert priced.money is None
    with pytest.raises(StudyError, match="what it costs is not known"):
        check_budget(priced, hours=None, money=5)
    stated = plan(study, on_cpu, Assumed(Machine(0.06, 1.0), decode=100))
    assert stated.has_speed
    assert stated.hours == pytest.approx(2 * 8 * 0.49e9 * 840 / 0.06e12 / 3600, rel=0.02)


def test_answers_are_questions_times_repeats_times_runs(study: str) -> None:
    made = plan(study, [], Assumed(judge_share=0.25))
    assert made.questions == {"AMC": 40, "cot_gsm8k_k4": 1000}
    assert made.responses == 2 * (40 + 4 * 1000)
    assert made.judge_calls == made.responses // 4


def test_a_budget_refuses_what_is_over(study: str) -> None:
    made = plan(study, [], Assumed(hour_price=2.0, judge_price=1.0))
    assert made.money is not None
    check_budget(made, hours=100, money=made.money)
    with pytest.raises(StudyError, match=r"device hours; expected at most 0\.001"):
        check_budget(made, hours=0.001, money=None)
    with pytest.raises(StudyError, match=r"costs .* expected at most 0\.01"):
        check_budget(made, hours=None, money=0.01)
    with pytest.raises(StudyError, match="no price was given"):
        check_budget(plan(study, [], Assumed()), hours=None, money=5)


def test_costs_that_are_unknown_are_reported(study: str) -> None:
    made = plan(study, ["students=[{model: my/own, template: qwen, name: own}]"], Assumed())
    table = cost_table(made)
    assert table.rows[0][-3:] == ("unknown", "unknown", "unknown")
    assert any("2 runs are not counted" in note for note in table.notes)


@pytest.fixture
def two_arms(study: str) -> str:
    path = Path(study)
    text = path.read_text().replace("mine: {file", "one: {file: rows.jsonl}\n  two: {file")
    path.write_text(text, encoding="utf-8")
    return study


def test_a_benchmark_of_forty_cannot_show_five_points(two_arms: str) -> None:
    made = plan(two_arms, [], Assumed())
    assert (made.seeds, made.arms, made.comparisons) == (2, 2, 2)
    table = power_table(made)
    rows = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    forty = rows["AMC"]
    assert (forty["questions"], forty["seeds"]) == ("40", "2")
    points = [float(forty[f"run sd {sd}"]) for sd in ("0.5", "1", "2")]
    assert 20 < points[0] < points[1] < points[2] < 45
    assert float(forty["all 2"]) > points[1]
    assert rows["cot_gsm8k_k4"]["questions"] == "1000 × 4"
    help_ = remedy_table(made)
    helped = {row[0]: dict(zip(help_.columns, row, strict=True)) for row in help_.rows}
    assert helped["AMC"]["now"] == forty["run sd 1"]
    assert helped["AMC"]["more answers"].endswith("(16 answers)")
    assert float(helped["AMC"]["more answers"].split()[0]) < points[1]
    assert helped["cot_gsm8k_k4"]["more answers"] == "-"


def test_the_plan_says_whether_answers_or_seeds_come_first(two_arms: str) -> None:
    notes = power_table(plan(two_arms, [], Assumed())).notes
    assert any("2 degrees of freedom only (2 arms of 2 seeds)" in note for note in notes)
    assert "more answers or questions help more than seeds, and cost no training: AMC" in notes
    assert "more seeds help more than answers or questions: cot_gsm8k_k4" in notes


def test_what_comes_first_is_what_the_table_shows_to_help_most(two_arms: str) -> None:
    made = plan(two_arms, ["evaluation.run_sd=6"], Assumed())
    (row,) = (row for row in remedy_table(made).rows if row[0] == "AMC")
    _, answers, seed, questions = (float(cell.split()[0]) for cell in row[1:])
    assert seed < min(answers, questions)
    assert any(
        note.startswith("more seeds help more than") and "AMC" in note
        for note in power_table(made).notes
    )


def test_a_declared_run_deviation_is_the_one_that_counts(study: str) -> None:
    made = plan(study, ["evaluation.run_sd=0.7", "seeds=[1]"], Assumed())
    table = power_table(made)
    assert [name for name in table.columns if "run sd" in name] == ["run sd 0.7"]
    assert not any("one seed an arm" in note for note in table.notes)
    alone = power_table(plan(study, ["seeds=[1]"], Assumed()))
    assert any("these trained models, not the arms" in note for note in alone.notes)


def test_memory_shrinks_with_adapters_and_shards() -> None:
    full = training_memory(7, "full", 1, None, 2048)
    assert 7e9 * 16 / 2**30 < full < 7e9 * 16 / 2**30 + 15
    assert training_memory(7, "full", 8, "z3", 2048) < full / 4
    assert training_memory(7, "lora", 1, None, 2048) < full / 4
    assert training_memory(7, "qlora", 1, None, 2048) < training_memory(7, "lora", 1, None, 2048)
    z2, z3 = (training_memory(7, "full", 8, name, 2048) for name in ("z2", "z3"))
    assert z3 < z2
    assert training_memory(7, "full", 8, "z2-offload", 2048) < z2


def test_a_full_training_keeps_its_weights_once_and_its_optimizer_while_it_trains() -> None:
    kept, most = training_disk(1.0, "full", None)
    assert kept == pytest.approx(4e9 / 2**30)  # fp32; the last checkpoint is the model itself
    assert training_disk(1.0, "full", None, checkpoints=3)[0] == pytest.approx(3 * kept)
    assert most == pytest.approx((4 + 2 * 12) * 1e9 / 2**30)
    assert training_disk(1.0, "full", "z3")[0] < kept
    assert 2e9 / 2**30 < training_disk(1.0, "lora", None)[0] < 2.2e9 / 2**30  # the merged model


def test_a_run_that_does_not_fit_is_told_the_batch_or_the_template_that_would(study: str) -> None:
    wide = ["recipes.full.cutoff_len=8192", "recipes.full.per_device_batch=4"]

    def note(memory: float) -> str:
        table = cost_table(plan(study, wide, Assumed(Machine(memory=memory))))
        return next((note for note in table.notes if "does not fit" in note), "")

    assert note(200) == ""
    assert note(50).endswith("does not fit into 50 GiB per device: per_device_batch 2 fits")
    assert note(25).endswith("per_device_batch 1 fits")
    assert "per_device_batch 1 needs 2" in note(16)
    assert "template lora would need 1" in note(16)


def test_tables_fit_80_columns_and_json_has_the_same_numbers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = plan("learnability-gap", [], Assumed())
    for table in (cost_table(made), power_table(made), remedy_table(made)):
        cells = [max(map(len, column)) for column in zip(table.columns, *table.rows, strict=True)]
        assert sum(cells) + 2 * (len(cells) - 1) <= 80
    assert main(["plan", "learnability-gap", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["runs"]) == 60
    assert {"hours", "memory", "disk", "tokens", "fitting"} <= set(found["runs"][0])
    forty = next(task for task in found["tasks"] if task["task"] == "AMC")
    assert (forty["questions"], round(forty["detectable"]["1"], 1)) == (40, 25.5)
    power = next(row for row in power_table(made).rows if row[0] == "AMC")
    assert power[-1] == f"{forty['detectable_among_all']['1']:.1f}"
    others = forty["alternatives"]
    remedies = next(row for row in remedy_table(made).rows if row[0] == "AMC")
    assert remedies[2] == f"{others['16 answers']['1']:.1f} (16 answers)"
    assert remedies[3:] == tuple(
        f"{others[name]['1']:.1f}" for name in ("one more seed", "twice the questions")
    )
    assert found["training_hours"] == pytest.approx(made.hours)


def test_a_tasks_key_is_found_through_its_includes() -> None:
    assert task_key("cot_gsm8k_k4", "repeats") == 4
    assert task_key("cot_gsm8k", "output_type") == "generate_until"
    assert task_key("no_such_task", "repeats") is None


def test_the_verb_exits_with_one_over_the_budget(study: str) -> None:
    command = [sys.executable, "-m", "cotdistill", "plan", study, "--budget-hours", "0.0001"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "2 runs; training" in done.stdout
    assert "priced: needs" in done.stderr


def test_a_finished_run_shows_how_fast_the_machine_is(tmp_path: Path) -> None:
    add_run(tmp_path, "r", "a")
    with pytest.raises(StudyError, match="no finished run that logged its operations"):
        calibrated(tmp_path, Assumed())
    totals = {"train_loss": 0.3, "train_runtime": 10.0, "total_flos": 6e12}
    write_json(tmp_path / "checkpoints" / "r" / "all_results.json", totals)
    machine = calibrated(tmp_path, Assumed()).machine
    # six operations a weight and token: a billion weights, a thousand tokens, ten seconds
    assert training_seconds(1.0, 1000, "full", machine) == pytest.approx(10.0)


def test_trainings_without_a_teacher_show_how_fast_the_machine_is(tmp_path: Path) -> None:
    for name, seconds in (("plain", 10.0), ("distilled", 30.0)):
        add_run(tmp_path, name, name)
        totals = {"train_loss": 0.3, "train_runtime": seconds, "total_flos": 6e12}
        write_json(tmp_path / "checkpoints" / name / "all_results.json", totals)
    write_json(tmp_path / "checkpoints" / "distilled" / "kd_summary.json", {"ce": 1.0, "kd": 0.1})
    machine = calibrated(tmp_path, Assumed()).machine
    assert training_seconds(1.0, 1000, "full", machine) == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("price", "wrong"), [(None, "no price was given"), (2.0, "the speed of this machine's CPU")]
)
def test_a_limit_of_money_says_what_is_missing(study: str, price: float | None, wrong: str) -> None:
    made = plan(study, ["hardware.gpus=0"], Assumed(hour_price=price))
    with pytest.raises(StudyError, match=wrong):
        check_budget(made, None, 5.0)


def test_finished_evaluations_show_how_long_an_answer_takes(tmp_path: Path, study: str) -> None:
    add_run(tmp_path, "r", "a")
    totals = {"train_loss": 0.3, "train_runtime": 10.0, "total_flos": 6e12}
    write_json(tmp_path / "checkpoints" / "r" / "all_results.json", totals)
    add_scores(tmp_path, "r", [True, False, True, True])  # in 12.5 seconds
    assumed = calibrated(tmp_path, Assumed())
    assert assumed.answer_seconds == pytest.approx(12.5 / 4)
    made = plan(study, ["hardware.gpus=0"], assumed)
    assert made.evaluation_hours == pytest.approx(made.responses * 12.5 / 4 / 3600)
    assert "3.1 seconds per answer, as measured" in cost_table(made).notes[-1]


def test_a_run_folder_is_planned_like_its_study(
    small_study: dict[str, Any], study_file: Any, tmp_path: Path, capsys: Any
) -> None:
    path = study_file(small_study)
    assert main(["generate", str(path), "-o", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    assert main(["plan", str(path)]) == 0
    of_study = capsys.readouterr().out
    assert main(["plan", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().out == of_study
