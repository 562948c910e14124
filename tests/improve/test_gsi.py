"""The shipped study of Guided Self-Improvement: at full size, and one loop of it at toy size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cotdistill.benchmarks.puzzles import draw_puzzles
from cotdistill.cli.main import main
from cotdistill.preflight.plan import plan
from cotdistill.preflight.planned import Assumed
from cotdistill.runfolder.round_records import read_choice, read_data, read_decision

SETS = {"gsm8k": 3000, "math": 4000, "aqua_rat": 3000}


def write_traces(folder: Path, share: float) -> None:
    """Write what `import-traces` makes of the paper's repository, with made-up questions."""
    (folder / "traces").mkdir(parents=True)
    for form in ("cot", "pot"):
        for name, count in SETS.items():
            kind = {"gsm8k": "number", "math": "expression", "aqua_rat": "letter"}[name]
            with (folder / "traces" / f"gsi_{form}_{name}.jsonl").open("w") as stream:
                for number in range(round(count * share)):
                    row = {
                        "id": f"{name}-{number}", "dataset": name, "split": "train",
                        "question": f"{name}: what is {number} plus {number % 7}?",
                        "gold": "A" if kind == "letter" else str(number + number % 7),
                        "kind": kind, "rationale": f"It is {number + number % 7}.",
                    }  # fmt: skip
                    stream.write(json.dumps(row) + "\n")


def test_the_gsi_study_has_six_strategies_in_two_forms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_traces(tmp_path, 0.02)
    monkeypatch.chdir(tmp_path)
    assert main(["generate", "gsi", "-o", "run"]) == 0
    runs = [json.loads(line) for line in Path("run/manifest.jsonl").read_text().splitlines()]
    loops = [run for run in runs if run.get("rounds")]
    assert len(loops) == 12
    assert {run["rounds"] for run in loops} == {4}
    assert {run["factors"]["strategy"] for run in loops} == {
        "vanilla", "uniform", "answer", "rationale", "interactive", "state_reset"
    }  # fmt: skip
    by_form = {run["factors"]["format"]: run["tasks"] for run in loops}
    assert by_form == {
        "natural": ["cot_gsi_held_in", "cot_gsi_held_out"], "program": ["cot_gsi_programs"]
    }  # fmt: skip
    jobs = [json.loads(line) for line in Path("run/jobs.jsonl").read_text().splitlines()]
    sampled = [job for job in jobs if job["stage"] == "sample"]
    assert len(sampled) == 48
    asked = {job["command"][job["command"].index("--instruction") + 1] for job in sampled}
    assert asked == {"", "{question} Let's write a program."}
    starts = {job["name"] for job in jobs if job["stage"] == "train" and "round" not in job["name"]}
    assert starts == {"student--start-natural--full--s42", "student--start-program--full--s42"}


@pytest.mark.slow
def test_the_gsi_study_is_checked_and_priced_at_full_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_traces(tmp_path, 1.0)
    monkeypatch.chdir(tmp_path)
    assert main(["check", "gsi"]) == 0
    assert "no faults" in capsys.readouterr().err
    made = plan("gsi", [], Assumed())
    uniform = next(one for one in made.asked if one.arm == "improve-uniform-natural")
    questions = 9_033  # without development questions
    most = questions * (8 + 128) * 4  # samples and resamplings, in each of four rounds
    assert (uniform.requests, uniform.most_requests) == (8 * questions, most)
    rounds = [cost for cost in made.runs if cost.run.loop is not None]
    assert len(rounds) == 12
    assert all(cost.hours and cost.hours > 1 for cost in rounds)


@pytest.mark.slow
@pytest.mark.host
def test_one_strategy_of_the_gsi_study_runs_at_toy_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two rounds with the real hosts; the student learns digit sums from nothing."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "traces").mkdir()
    puzzles = list(draw_puzzles("digit-sum", 6, 200, 3, "train"))
    rows = [
        {"id": p.id, "dataset": "digit-sum", "split": "train", "question": p.question,
         "gold": p.answer, "kind": "number", "rationale": p.rationale}
        for p in puzzles
    ]  # fmt: skip
    text = "".join(json.dumps(row) + "\n" for row in rows[:40])
    for form in ("cot", "pot"):
        for name in SETS:
            (tmp_path / "traces" / f"gsi_{form}_{name}.jsonl").write_text(text)
    start = [{"instruction": r["question"], "output": r["rationale"]} for r in rows[40:]]
    (tmp_path / "start.jsonl").write_text("".join(json.dumps(row) + "\n" for row in start))
    tiny = "{scratch: {hidden_size: 32, layers: 2, heads: 2, intermediate_size: 64, context: 160}}"
    recipe = (
        "{max_steps: 60, learning_rate: 4.0e-3, precision: fp32, global_batch: 32, "
        "per_device_batch: 32, cutoff_len: 128}"
    )
    sets = [
        f"models.student={tiny}",
        f"recipes.full={recipe}",
        "arms={start-natural: {file: start.jsonl, factors: {format: natural}}}",
        "questions={gsm8k-natural: {file: traces/gsi_cot_gsm8k.jsonl, dev: 10, task: cot_gsm8k}}",
        "improve.rounds=2",
        "improve.sample={questions: gsm8k-natural, samples: 2, min_correct: 1, attempts: 1, "
        "temperature: 0.9, max_tokens: 60}",
        "improve.for={strategy: [state_reset], format: [natural]}",
        "evaluation={tasks: [cot_puzzles_digit_sum], limit: 10, generation: {max_gen_toks: 60}}",
        "hardware.gpus=0",
    ]
    options = [word for one in sets for word in ("--set", one)]
    assert main(["generate", "gsi", "-o", "run", *options]) == 0
    assert main(["run", "run", "--jobs", "2"]) == 0
    loop = "student--improve-state_reset-natural--full--s42"
    first = read_data(tmp_path / "run", f"{loop}--round1")
    assert first is not None
    assert (first.questions, first.samples >= 60) == (30, True)
    assert read_decision(tmp_path / "run", f"{loop}--round2") is not None
    choice = read_choice(tmp_path / "run", loop)
    assert choice is not None
    assert len(choice.dev) == 3
    page = (tmp_path / "run" / "report" / "report.html").read_text(encoding="utf-8")
    assert "Rounds and races" in page
