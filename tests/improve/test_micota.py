"""The shipped study of MiCoTA: at full size, and one assistant of it from merge to score."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cotdistill.cli.main import main
from cotdistill.preflight.plan import plan
from cotdistill.preflight.planned import Assumed
from cotdistill.runfolder.job import read_declared_jobs
from cotdistill.studies.load import file_of
from probed import ask_a_server, decide
from slow_server import slow_server
from teacher import write_questions
from tiny_models import build

WEIGHTS = ("0.3", "0.5", "0.7")


def test_every_assistant_of_micota_is_merged_probed_taught_trained_on_and_scored(
    tmp_path: Path,
) -> None:
    assert main(["generate", "micota", "-o", str(tmp_path / "run")]) == 0
    jobs = read_declared_jobs(tmp_path / "run") or {}
    for weight in WEIGHTS:
        name = f"assistant-{weight}"
        assert ("merge", name) in jobs["probe", f"{name}+responses"].needs
        assert ("probe", name) in jobs["teach", name].needs
        assert ("teach", name) in jobs["prepare", name].needs
        for student in ("Qwen2.5-3B-Instruct", "Qwen2.5-7B-Instruct"):
            run = f"{student}--{name}--full--s42"
            assert ("prepare", name) in jobs["train", run].needs
            assert ("train", run) in jobs["evaluate", run].needs
    asked = [name for stage, name in jobs if stage == "probe" and name.endswith("+responses")]
    assert len(asked) == 5, "the two models once, each assistant"
    made = plan("micota", [], Assumed())
    probes = [one for one in made.asked if one.arm == "probe"]
    assert [(one.requests, one.generated_tokens) for one in probes] == [(64, 64_000)] * 5
    assert {one.requests for one in made.asked if one.arm != "probe"} == {7_500}
    assert not any(cost.fitting for cost in made.runs), "each run fits into 80 GiB"


@pytest.mark.slow
@pytest.mark.host
def test_an_assistant_goes_from_merge_to_score_at_toy_size(tmp_path: Path) -> None:
    """Real merge, training and evaluation; the merge is the student too; a server answers."""
    for seed, name in enumerate(("base", "one", "two")):
        build(tmp_path / name, seed=seed, context=2048)
    write_questions(tmp_path / "q.jsonl", 20)
    text = file_of("micota").read_text(encoding="utf-8")
    changes = {
        "[0.3, 0.5, 0.7]": "[0.5]",
        "short: Qwen2.5-14B-Instruct": f"short: {{model: {tmp_path}/one, template: chatml}}",
        "{model: deepseek-ai/DeepSeek-R1-Distill-Qwen-14B, template: deepseekr1}":
            f"{{model: {tmp_path}/two, template: chatml}}",
        "base: Qwen/Qwen2.5-14B,": f"base: {tmp_path}/base,",
        "questions: 64}": "questions: 8}",
        "[Qwen2.5-3B-Instruct, Qwen2.5-7B-Instruct]": "[assistant-0.5]",
        "{benchmark: math, split: train}": f"{{file: {tmp_path}/q.jsonl}}",
        "{gpus: 4}": "{gpus: 0}",
    }  # fmt: skip
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "micota.yaml").write_text(text, encoding="utf-8")
    recipe = (
        "{max_steps: 2, precision: fp32, global_batch: 8, per_device_batch: 8, cutoff_len: 256}"
    )
    evaluation = "{tasks: [cot_puzzles_digit_sum], limit: 2, generation: {max_gen_toks: 8}}"
    sets = [f"recipes.full={recipe}", f"evaluation={evaluation}"]
    options = [word for one in sets for word in ("--set", one)]
    root = tmp_path / "run"
    assert main(["generate", str(tmp_path / "micota.yaml"), "-o", str(root), *options]) == 0
    with slow_server(decide) as server:
        ask_a_server(root, server.url)
        words = ["run", str(root), "--jobs", "2", "--only", "assistant-0.5--assistant-0.5*"]
        done = subprocess.run(
            [sys.executable, "-m", "cotdistill", *words], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        asked = len(server.bodies)
        assert asked == 3 * 8 + 20
    record = json.loads((root / "probe" / "assistant-0.5.json").read_text())
    assert record["wrong"] == []
    kept = (root / "data" / "assistant-0.5.jsonl").read_text().splitlines()
    assert len(kept) == 20
    assert (root / "merged" / "assistant-0.5" / "merge.json").is_file()
    run = "assistant-0.5--assistant-0.5--full--s42"
    assert (root / "checkpoints" / run / "model.safetensors").is_file()
    assert list((root / "scores" / run).rglob("results_*.json"))
