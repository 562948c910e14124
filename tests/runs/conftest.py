"""Run folders in miniature: trainers that take a moment and write what LLaMA-Factory would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cotdistill.hosts.machine.processes import marked
from cotdistill.runfolder.stages import snakefile_text

# Each step adds to the weights, so a training that was interrupted and went on right ends with the
# same weights as one that was not. A lock that children do not inherit tells two trainers apart.
TRAINER = """
import fcntl, hashlib, json, os, subprocess, sys, time, zipfile
settings = json.loads(open(sys.argv[1]).read().partition("\\n")[2])
given = dict(word.split("=", 1) for word in sys.argv[2:])
output, steps, pause = settings["output"], settings["steps"], settings["pause"]
os.makedirs(output, exist_ok=True)
guard = open(output + "/guard", "w")
try:
    fcntl.lockf(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    open("TWO_TRAINERS", "a").write(output + "\\n")
    sys.exit("two trainers in " + output)
if settings.get("workers"):  # as torchrun does: grandchildren that inherit no descriptor
    code = "import time, sys; time.sleep(900)"
    subprocess.Popen([sys.executable, "-S", "-c", code], start_new_session=True)
with open("STARTED", "a") as started:
    started.write(json.dumps([output, given.get("resume_from_checkpoint")]) + "\\n")
devices = os.environ.get("CUDA_VISIBLE_DEVICES")
print(f"CUDA_VISIBLE_DEVICES={devices}", flush=True)
held = []
for device in filter(None, (devices or "").split(",")):
    held.append(open(f"device-{device}", "w"))
    try:
        fcntl.lockf(held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        open("SHARED_GPU", "a").write(output + "\\n")
when = open("WHEN", "a", buffering=1)
if settings.get("fail"):
    raise ValueError(settings["fail"])
if settings.get("lie"):
    sys.exit(0)

def weights(folder, state):
    header = json.dumps({"w": {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]}}).encode()
    with open(folder + "/model.safetensors", "wb") as stream:
        stream.write(len(header).to_bytes(8, "little") + header + state.to_bytes(8, "little"))

first, state = 0, settings["seed"]
if resume := given.get("resume_from_checkpoint"):
    first = json.load(open(resume + "/trainer_state.json"))["global_step"]
    state = int.from_bytes(open(resume + "/model.safetensors", "rb").read()[-8:], "little")
for step in range(first + 1, steps + 1):
    when.write(f"{time.time()}\\n")
    time.sleep(pause)
    state = (state * 31 + step) % 2**40
    with open(output + "/trainer_log.jsonl", "a") as log:
        row = {"current_steps": step, "total_steps": steps, "loss": 1 / step}
        log.write(json.dumps(row | {"remaining_time": "0:00:01"}) + "\\n")
    if step % settings["save"] == 0:
        place = f"{output}/checkpoint-{step}"
        os.makedirs(place)
        weights(place, state)
        for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
            with zipfile.ZipFile(f"{place}/{name}", "w") as archive:
                archive.writestr("data", "x")
        now = {"global_step": step, "max_steps": steps, "epoch": step / settings["save"]}
        json.dump(now, open(place + "/trainer_state.json", "w"))
weights(output, state)
json.dump({"train_runtime": 1.5, "train_loss": 0.5}, open(output + "/train_results.json", "w"))
open(output + "/README.md", "w").write("card")
"""

EVALUATOR = """
import json, os, sys, time
settings = json.loads(open(sys.argv[1]).read().partition("\\n")[2])
place = settings["output"] + "/model"
os.makedirs(place)
with open("EVALUATED", "a") as stream:
    stream.write(settings["output"] + "\\n")
time.sleep(settings["pause"])
stamp = "2026-01-01T00-00-00.000001"
if settings.get("lie") != "results":
    json.dump({"results": {"t": {"acc,none": 0.5}}}, open(f"{place}/results_{stamp}.json", "w"))
if settings.get("lie") != "samples":
    row = {"doc": {"question": "q"}, "doc_id": 0, "resps": [["1"]], "filtered_resps": ["1"],
           "filter": "none", "target": "1", "arguments": {"gen_args_0": {"arg_0": "q"}}, "acc": 0.5,
           "metrics": ["acc"]}
    open(f"{place}/samples_t_{stamp}.jsonl", "w").write(json.dumps(row) + "\\n")
"""


STUDY = """name: tiny
students: [{name: tiny, model: some/model, template: qwen}]
arms: {a: {dataset: gsm8k_train}}
recipes: {full: {max_steps: 4}}
evaluation: {tasks: [somebody_elses_task]}
"""


@dataclass
class Study:
    """A run folder to be, with one trainer and one evaluation a run."""

    folder: Path
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def add(self, run: str, gpus: int = 0, **settings: Any) -> None:
        defaults = {"steps": 4, "pause": 0.0, "save": 100, "seed": 1}
        self.runs[run] = defaults | {"output": f"checkpoints/{run}", "gpus": gpus} | settings
        self.scores.setdefault(run, {"output": f"scores/{run}", "pause": 0.0})

    def write(self) -> None:
        """Write the folder as the generator does: changed files only, the manifest last."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, text in (("trainer.py", TRAINER), ("evaluator.py", EVALUATOR)):
            (self.folder / name).write_text(text)
        rows = []
        for run, settings in self.runs.items():
            self._write(f"train/{run}.yaml", settings)
            self._write(f"eval/{run}.yaml", self.scores[run])
            rows.append(self._row(run, settings))
        (self.folder / "study.yaml").write_text(STUDY)
        (self.folder / "Snakefile").write_text(snakefile_text("tiny"))
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (self.folder / "manifest.jsonl").write_text(lines)

    def _write(self, name: str, settings: dict[str, Any]) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("# how to run this\n" + json.dumps(settings) + "\n")

    def _row(self, run: str, settings: dict[str, Any]) -> dict[str, Any]:
        python = [sys.executable, "-S", "-E"]
        train = [*python, "trainer.py", str(self.folder / f"train/{run}.yaml")]
        score = [*python, "evaluator.py", str(self.folder / f"eval/{run}.yaml")]
        return {
            "run": run, "student": "tiny", "arm": "a", "recipe": "full", "seed": 1,
            "files": {"train": f"train/{run}.yaml", "export": None, "eval": f"eval/{run}.yaml",
                      "data": None, "student": None},
            "outputs": {"train": f"checkpoints/{run}", "export": None, "evaluate": f"scores/{run}"},
            "stages": {"train": {"command": train, "env": {}, "gpus": settings["gpus"]},
                       "export": None, "evaluate": {"command": score, "env": {}, "gpus": 0}},
            "sha256": {"train": "t", "export": None, "eval": "e", "data": None, "student": None},
        }  # fmt: skip

    def start(self, *words: str, **env: str) -> subprocess.Popen[str]:
        """Start `cotdistill run` on the folder and return at once."""
        process = subprocess.Popen(
            [sys.executable, "-m", "cotdistill", "run", str(self.folder), *words],
            env=os.environ | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def run(self, *words: str, **env: str) -> tuple[int, str]:
        """Run `cotdistill run` on the folder; return its status and all it said."""
        process = self.start(*words, **env)
        out, err = process.communicate(timeout=600)
        return process.returncode, out + err

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.is_file() else []

    def trained(self) -> list[tuple[str, str | None]]:
        """Every start of a trainer: its run, and the checkpoint that it went on from."""
        starts = map(json.loads, self.lines("STARTED"))
        return [(Path(o).name, Path(c).name if c else None) for o, c in starts]

    def weights(self, run: str) -> bytes:
        return (self.folder / "checkpoints" / run / "model.safetensors").read_bytes()

    def processes(self, *words: str) -> list[int]:
        """Living processes of this folder's run whose command line holds all the words."""
        found = []
        for pid in marked("COTDISTILL_FOLDER", str(self.folder.resolve())):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if all(word in command for word in words):
                found.append(pid)
        return found


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    made = Study(tmp_path / "folder")
    yield made
    for process in made.started:
        if process.poll() is None:
            process.kill()
        process.communicate()
    for pid in made.processes():
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def eventually() -> Callable[..., None]:
    def wait(true: Callable[[], Any], seconds: float = 300.0) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, "it never came true"
            time.sleep(0.02)

    return wait
