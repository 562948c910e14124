"""The same through the real LLaMA-Factory and lm-eval, with a model of a few thousand weights."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from cotdistill.hosts.machine.processes import marked
from cotdistill.runfolder.generate import generate

pytestmark = pytest.mark.slow
RUN = "tiny--fine--lora--s7"
TASK = """task: tiny_sums
dataset_path: json
dataset_kwargs: {data_files: {test: QUESTIONS}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{gold}}"
generation_kwargs: {until: [], max_gen_toks: 4, do_sample: false}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""


def written(folder: Path, questions: int = 3, **recipe: Any) -> Path:
    """A study of one LoRA run with dropout, 44 rows, uneven steps; a task of three questions."""
    rows = [{"question": f"{a} + 1 =", "gold": str(a + 1)} for a in range(questions)]
    tasks = folder / "tasks"
    tasks.mkdir(parents=True)
    (tasks / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tasks / "sums.yaml").write_text(TASK.replace("QUESTIONS", str(tasks / "sums.jsonl")))
    study = {
        "name": "tiny",
        "students": [{"name": "tiny", "scratch": {"hidden_size": 32, "heads": 2, "layers": 1}}],
        "arms": {"fine": {"puzzles": "digit-sum", "level": 6, "rows": 44, "seed": 1}},
        "recipes": {
            "lora": {
                "template": "lora", "max_steps": 300, "learning_rate": 2.0e-3, "precision": "fp32",
                "global_batch": 8, "per_device_batch": 4, "cutoff_len": 256,
                "settings": {"logging_steps": 1, "lora_dropout": 0.1, "lora_rank": 4},
            } | recipe
        },
        "seeds": [7],
        "hardware": {"gpus": 0},
        "evaluation": {"tasks": ["tiny_sums"], "include_path": [str(tasks)], "batch_size": 1},
    }  # fmt: skip
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    return folder / "study.yaml"


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "cotdistill", "run", str(folder), *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


@pytest.mark.timeout(900)
def test_kill_9_during_training_ends_with_the_weights_of_a_training_without_it(
    tmp_path: Path,
) -> None:
    study = written(tmp_path)
    whole = generate(str(study), tmp_path / "whole").folder
    broken = generate(str(study), tmp_path / "broken").folder
    checkpoint = broken / "checkpoints" / RUN
    killed = start(broken)
    while not list(checkpoint.glob("checkpoint-*/trainer_state.json")):
        assert killed.poll() is None
        time.sleep(0.01)
    for pid in [killed.pid, *marked("COTDISTILL_FOLDER", str(broken))]:
        os.kill(pid, signal.SIGKILL)
    killed.communicate()

    output = finish(start(broken))
    finish(start(whole, "--only", "train"))

    assert f"train {RUN} (resuming from checkpoint-" in output
    weights = "adapter_model.safetensors"
    first, second = (f / "checkpoints" / RUN / weights for f in (whole, broken))
    assert first.read_bytes() == second.read_bytes()
    log = (checkpoint / "trainer_log.jsonl").read_text().splitlines()
    steps = [json.loads(line)["current_steps"] for line in log]
    assert steps[:-1] == list(range(1, 301)), "each step stands in the log once"

    config: dict[str, Any]
    config = json.loads((broken / "exported" / RUN / "generation_config.json").read_text())
    tokenizer = json.loads((broken / "exported" / RUN / "tokenizer_config.json").read_text())
    ends = config["eos_token_id"]
    first_end = str(ends[0] if isinstance(ends, list) else ends)
    assert tokenizer["added_tokens_decoder"][first_end]["content"] == tokenizer["eos_token"]
    assert list((broken / "scores" / RUN).rglob("samples_tiny_sums_*.jsonl"))
    assert "tiny_sums" in (broken / "report" / "report.md").read_text()


@pytest.mark.timeout(900)
def test_kill_9_during_evaluation_resumes_after_its_last_response(tmp_path: Path) -> None:
    questions = 100
    folder = generate(str(written(tmp_path, questions, max_steps=2)), tmp_path / "run").folder
    scores = folder / "scores" / RUN
    killed = start(folder)
    while sum(path.read_bytes().count(b"\n") for path in scores.glob(".unfinished-*")) < 5:
        assert killed.poll() is None, killed.communicate()[0]
        time.sleep(0.002)
    for pid in [killed.pid, *marked("COTDISTILL_FOLDER", str(folder))]:
        os.kill(pid, signal.SIGKILL)
    killed.communicate()
    (kept,) = scores.glob(".unfinished-*")
    count = kept.read_bytes().count(b"\n")
    assert 5 <= count < questions

    output = finish(start(folder))

    assert f"evaluate {RUN} (resuming after {count} responses)" in output
    log = (folder / "logs" / "evaluate" / f"{RUN}.log").read_text()
    assert f"{count} responses kept from before are used again" in log
    record = json.loads((folder / "done" / "evaluate" / f"{RUN}.json").read_text())
    assert record["notes"]["part"] is True  # so its seconds are not those of an evaluation
    assert not list(scores.glob(".unfinished-*"))
    (samples,) = scores.rglob("samples_tiny_sums_*.jsonl")

    # the stock command in the file's header gives the same responses
    config = folder / "eval" / f"{RUN}.yaml"
    header = re.search(r"^# Run it:  (lm-eval run --config .+)$", config.read_text(), re.MULTILINE)
    assert header is not None
    command = [sys.executable, "-m", "lm_eval", *header[1].split()[1:]]
    by_hand = [*command, "--output_path", str(tmp_path / "by-hand")]
    subprocess.run(by_hand, check=True, capture_output=True)
    (stock,) = (tmp_path / "by-hand").rglob("samples_tiny_sums_*.jsonl")
    assert responses(samples) == responses(stock)


def responses(samples: Path) -> list[Any]:
    return [json.loads(line)["resps"] for line in samples.read_text().splitlines()]
