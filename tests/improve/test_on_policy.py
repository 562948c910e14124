"""On-policy distillation as a loop: samples, the teacher's signals for them, training with both."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from cotdistill.cli.main import main
from loop_folder import study, write_inputs
from loop_programs import noted, put_programs, start

LOOP = "tiny--improve--kd--s42"


def on_policy(mentor: Path) -> dict[str, Any]:
    """Return a study whose loop keeps all samples and learns the teacher's distribution on them."""
    loop = {
        "recipe": "kd", "rounds": 2, "capture": True, "stop": None, "for": {},
        "sample": {"questions": "sums", "samples": 4, "keep": "all", "strategy": "vanilla"},
    }  # fmt: skip
    declared = study(improve=loop)
    declared["models"]["mentor"] = {"model": str(mentor), "template": "chatml"}
    teacher = {"teacher": "mentor", "weight": 0.5, "top_k": 8}
    declared["recipes"]["kd"] = {"extends": "full", "kd": teacher}
    return declared


def generated(folder: Path) -> Path:
    write_inputs(folder)
    declared = on_policy(folder / "mentor")
    (folder / "study.yaml").write_text(yaml.safe_dump(declared, sort_keys=False))
    assert main(["generate", str(folder / "study.yaml"), "-o", str(folder / "run")]) == 0
    return folder / "run"


def test_a_round_waits_for_the_signals_of_its_own_rows(tmp_path: Path) -> None:
    root = generated(tmp_path)
    jobs = {
        (job["stage"], job["name"]): job
        for job in map(json.loads, (root / "jobs.jsonl").read_text().splitlines())
    }
    for number in (1, 2):
        name = f"{LOOP}--round{number}"
        capture, train = jobs["capture", name], jobs["train", name]
        assert ["filter", name] in capture["needs"]
        assert ["capture", name] in train["needs"]
        assert capture["command"][:3] == ["cotdistill", "capture", f"{root}/train/{name}.yaml"]
        block = yaml.safe_load((root / "train" / f"{name}.kd.yaml").read_text())
        assert block["teacher"] == {"signals": f"{root}/signals/{name}"}
    start_block = yaml.safe_load((root / "train" / "tiny--start--kd--s42.kd.yaml").read_text())
    assert start_block["teacher"]["model"] == str(tmp_path / "mentor")


def test_the_plan_counts_the_signals_and_the_samples_of_all_rounds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_inputs(tmp_path)
    plans = []
    for captures in (True, False):
        declared = on_policy(tmp_path / "mentor")
        declared["improve"]["capture"] = captures
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(declared, sort_keys=False))
        capsys.readouterr()
        assert main(["plan", str(tmp_path / "study.yaml"), "--json", "--row-tokens", "50"]) == 0
        plans.append(json.loads(capsys.readouterr().out))
    (with_, without), gib = plans, 2**30
    (run,) = (one for one in with_["runs"] if one["run"] == LOOP)
    a_token = 2.4 * 8 + 4
    assert run["signals"] * gib == pytest.approx(2 * run["rows"] * 50 * a_token)
    (other,) = (one for one in without["runs"] if one["run"] == LOOP)
    assert (other["signals"], other["disk"]) == (None, pytest.approx(run["disk"] - run["signals"]))
    (asked,) = with_["asked_models"]
    of_round = asked["requests"] * (330 + 950) + 2 * asked["generated_tokens"] * 3.5
    assert asked["disk"] * gib == pytest.approx(2 * of_round)
    trained = sum(one["disk"] for one in with_["runs"])
    assert with_["disk"] == pytest.approx(trained + asked["disk"])
    assert any(" of teachers' signals" in note for note in with_["notes"])
    assert not any(" of teachers' signals" in note for note in without["notes"])


def test_a_loop_that_captures_needs_a_recipe_with_a_teacher(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_inputs(tmp_path)
    declared = study(improve={"capture": True})
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(declared, sort_keys=False))
    assert main(["generate", str(tmp_path / "s.yaml"), "-o", str(tmp_path / "run")]) == 1
    assert "the recipe 'full' has no teacher" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.host
def test_two_rounds_learn_a_teacher_s_distribution_on_the_student_s_own_samples(
    tmp_path: Path,
) -> None:
    root = generated(tmp_path)
    for job in ("start", "tiny--start"):
        assert main(["step", "prepare", job, "--folder", str(root)]) == 0
    shutil.copytree(root / "models" / "tiny--start", tmp_path / "mentor")
    rounds = [f"{LOOP}--round{number}" for number in (1, 2)]
    put_programs(root, {}, str(root / "data/questions/sums.jsonl"), real=rounds)
    command = start(root, "--jobs", "2", "--only", "decide")
    output, _ = command.communicate(timeout=1200)
    assert command.returncode == 0, output
    for name in rounds:
        rows = (root / "data" / "rounds" / f"{name}.jsonl").read_text().splitlines()
        signals = json.loads((root / "signals" / name / "manifest.json").read_text())
        assert signals["rows"] == len(rows)
        summary = root / "checkpoints" / name / "kd_summary.json"
        assert summary.is_file(), "it was trained with the teacher"
        assert f"sample {name}" in noted(root, "ENDED")
