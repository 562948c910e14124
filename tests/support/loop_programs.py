"""Small programs in place of the hosts and of sampling, for run folders of loops and races.

They write what the hosts would, from numbers in the file `plan.json` of the run folder, and note
each start and end in `STARTED` and `ENDED`. A file `HOLD/<stage>--<name>` makes a program wait
until it is killed, so that a test can strike at a known moment.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from cotdistill.hosts.machine.processes import marked
from cotdistill.runfolder.job import marker_of, read_declared_jobs

PROGRAM = """
import hashlib, json, os, pathlib, sys, time
stage, name, output, weights = sys.argv[1:5]
plan = json.load(open("plan.json"))
with open("STARTED", "a") as stream:
    stream.write(f"{stage} {name}\\n")
hold = pathlib.Path("HOLD", f"{stage}--{name}")
while hold.exists():
    time.sleep(0.02)
place = pathlib.Path(output)
if stage == "train":
    place.mkdir(parents=True, exist_ok=True)
    body = hashlib.sha256(name.encode()).digest()[:8]
    header = json.dumps({"w": {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]}}).encode()
    (place / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + body)
    results = json.dumps({"train_runtime": 1.5, "train_loss": 0.5})
    (place / "train_results.json").write_text(results)
    (place / "all_results.json").write_text(results)
    (place / "kd_summary.json").write_text("{}")
    history = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}]
    (place / "trainer_state.json").write_text(json.dumps({"log_history": history}))
elif stage == "evaluate":
    place = place / "model"
    place.mkdir(parents=True, exist_ok=True)
    task, share, count = plan["task"][name], plan["scores"][name], plan["questions"]
    right = [n < round(share * count) for n in range(count)]
    stamp = "2026-01-01T00-00-00.000001"
    found = {"results": {task: {"exact_match,none": sum(right) / count}},
             "n-samples": {task: {"original": count, "effective": count}}}
    (place / f"results_{stamp}.json").write_text(json.dumps(found))
    rows = [{"doc": {"question": f"q{n}"}, "doc_id": n, "resps": [["1"]], "filtered_resps": ["1"],
             "filter": "none", "target": "1", "arguments": {"gen_args_0": {"arg_0": "q"}},
             "exact_match": float(one), "metrics": ["exact_match"]}
            for n, one in enumerate(right)]
    text = "".join(json.dumps(row) + "\\n" for row in rows)
    (place / f"samples_{task}_{stamp}.jsonl").write_text(text)
else:
    folder = place.parent
    folder.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in open(plan["sampled"])]
    samples, traces = [], []
    for row in rows:
        for n in range(4):
            one = f"{name[-6:]} way {n}. The answer is {row['gold']}."
            key = f"{row['id']}-round0-{n}"
            samples.append({"id": key, "question_id": row["id"], "question": row["question"],
                            "response": one, "correct": True, "outcome": "correct", "round": 0,
                            "sample": n, "state": "kept"})
            traces.append({**row, "id": key, "rationale": one, "answer": row["gold"],
                           "provenance": {"sample": n, "round": 0}})
    for file, lines in (("samples.jsonl", samples), ("traces.jsonl", traces)):
        text = "".join(json.dumps(line) + "\\n" for line in lines)
        (folder / file).write_text(text)
    ledger = {"settings": {"model": weights}, "rounds": [{"round": 0, "tokens": 100}]}
    (folder / "ledger.json").write_text(json.dumps(ledger))
with open("ENDED", "a") as stream:
    stream.write(f"{stage} {name}\\n")
""".replace("\\\\n", "\\n")


def put_programs(
    root: Path, scores: dict[str, float], sampled: str = "", real: Collection[str] = ()
) -> None:
    """Let the jobs of a run folder start the small programs; `scores` are by name of evaluation.

    Trainings of the names `real` are left to the host.
    """
    (root / "program.py").write_text(PROGRAM)
    (root / "HOLD").mkdir(exist_ok=True)
    lines, tasks = [], {}
    for line in (root / "jobs.jsonl").read_text().splitlines():
        job = json.loads(line)
        is_real = job["stage"] == "train" and job["name"] in real
        if job["stage"] in ("train", "evaluate", "sample") and not is_real:
            words = job["command"]
            weights = words[words.index("--model") + 1] if "--model" in words else "-"
            job["command"] = [
                sys.executable, "-S", "-E", str(root / "program.py"), job["stage"], job["name"],
                job["output"], weights,
            ]  # fmt: skip
            is_dev = str(job["output"]).startswith(("race", "rounds"))
            tasks[job["name"]] = "dev_sums" if is_dev else "cot_puzzles_digit_sum"
        lines.append(json.dumps(job))
    (root / "jobs.jsonl").write_text("".join(f"{line}\n" for line in lines))
    every = {name: scores.get(name, 0.5) for name in tasks}
    plan = {"task": tasks, "scores": every, "questions": 40, "sampled": sampled}
    (root / "plan.json").write_text(json.dumps(plan))


def start(root: Path, *words: str) -> subprocess.Popen[str]:
    """Start `cotdistill run` on a folder and return at once."""
    return subprocess.Popen(
        [sys.executable, "-m", "cotdistill", "run", str(root), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def kill_all(root: Path, command: subprocess.Popen[str]) -> None:
    """Kill the command and everything that it started, as a machine that goes down does."""
    for pid in [command.pid, *marked("COTDISTILL_FOLDER", str(root.resolve()))]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    command.communicate()


def noted(root: Path, name: str) -> list[str]:
    """Return the lines of STARTED or ENDED."""
    path = root / name
    return path.read_text().splitlines() if path.is_file() else []


def record(root: Path, stage: str, name: str) -> dict[str, Any]:
    """Return the record of a finished job."""
    found: dict[str, Any] = json.loads((root / "done" / stage / f"{name}.json").read_text())
    return found


def reached(root: Path, one: str, command: subprocess.Popen[str]) -> None:
    """Wait until a program has started, and all that does not wait for it has been recorded."""
    jobs = read_declared_jobs(root) or {}
    stage, name = one.split(" ")
    later = {(stage, name)}
    while more := {job.id for job in jobs.values() if later & set(job.needs)} - later:
        later |= more
    others = [root / marker_of(job) for job in jobs if job not in later]
    while one not in noted(root, "STARTED") or not all(path.exists() for path in others):
        assert command.poll() is None, command.communicate()[0]
        time.sleep(0.05)
