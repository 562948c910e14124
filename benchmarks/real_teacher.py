"""From a real model's rationales to a trained and scored student, in one command on a CPU.

    make models && .venv/bin/python benchmarks/real_teacher.py QUESTIONS [COUNT] [-o FOLDER]

SmolLM2-135M-Instruct (`make models`) teaches COUNT questions (20) of a file at levels 1, 3 and 6;
the right rationales of each level train a tiny student, which answers three questions that the
script brings. It shows how well so small a teacher keeps to levels (hardly) and that every step
works; the scores mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = "SmolLM2-135M-Instruct"
LEVELS = (1, 3, 6)
COTDISTILL = [sys.executable, "-m", "cotdistill"]
STUDY = """name: real-teacher
students:
  - name: tiny
    scratch: {hidden_size: 64, layers: 1, heads: 2, intermediate_size: 64, context: 512}
arms:
%s
recipes:
  full: {template: full, global_batch: 4, per_device_batch: 4, cutoff_len: 384, max_steps: 8,
         learning_rate: 0.004, precision: fp32}
evaluation: {tasks: [cot_gsm8k], batch_size: 4, limit: 3, generation: {max_gen_toks: 32}}
hardware: {gpus: 0}
"""
TEST = [("Ada has 3 pens and buys 4. How many has she?", "#### 7"), ("What is 2 + 2?", "#### 4"),
        ("Tom has 9 nuts and eats 5. How many are left?", "#### 4")]  # fmt: skip


@contextmanager
def served() -> Iterator[str]:
    """Serve the model on the loopback while the block runs."""
    command = [sys.executable, str(ROOT / "tools" / "models.py"), "serve"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=quiet, text=True) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            if not line:
                raise SystemExit("the model is not there; type: make models")
            yield json.loads(line)["url"]
        finally:
            server.terminate()


def run(*words: str, accepts: tuple[int, ...] = (0,)) -> None:
    """Run one verb as a user would type it."""
    print(f"$ cotdistill {' '.join(words)}", flush=True)
    status = subprocess.call([*COTDISTILL, *words])
    if status not in accepts:
        raise SystemExit(f"exit {status}")


def filtered(folder: Path) -> list[int]:
    """Keep the right rationales of each level; return the levels that have any."""
    rows = [json.loads(line) for line in (folder / "traces" / "traces.jsonl").open()]
    left = []
    for level in LEVELS:
        mine = [row for row in rows if row["provenance"]["level"] == level]
        source, kept = folder / f"level-{level}.jsonl", folder / f"kept-{level}.jsonl"
        source.write_text("".join(json.dumps(row) + "\n" for row in mine))
        if mine:
            run("filter", str(source), "-o", str(kept), "--workers", "1", accepts=(0, 1))
        if kept.is_file() and kept.read_text().strip():
            left.append(level)
    return left


def main() -> None:
    """Teach, filter, train, evaluate and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("questions", type=Path)
    parser.add_argument("count", type=int, nargs="?", default=20)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/real-teacher"))
    parser.add_argument("--endpoint", help="a server that is running already")
    given = parser.parse_args()
    folder: Path = given.output.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["COTDISTILL_DATA"] = str(folder / "data")
    started = time.monotonic()
    with served() as url:
        run("teach", str(given.questions), "--endpoint", given.endpoint or url, "--model", NAME,
            "--levels", ",".join(map(str, LEVELS)), "--again", "1", "--max-tokens", "160",
            "--stop", "\n\nQuestion:", "--concurrency", "8", "--allow-missing", "1",
            "--limit", str(given.count), "-o", str(folder / "traces"))  # fmt: skip
    levels = filtered(folder)
    if not levels:
        raise SystemExit("no rationale is right: there is nothing to train on")
    test = folder / "test.jsonl"
    test.write_text("".join(json.dumps({"question": q, "answer": a}) + "\n" for q, a in TEST))
    run("prepare", "gsm8k", "--from", str(test), "--any-size")
    study = folder / "study.yaml"
    study.write_text(STUDY % "\n".join(f"  level-{n}: {{file: kept-{n}.jsonl}}" for n in levels))
    run("generate", str(study), "-o", str(folder / "run"))
    run("run", str(folder / "run"), "--jobs", "1")
    run("report", str(folder / "run"))
    print(f"{given.count} questions, {time.monotonic() - started:.0f} s; traces: {folder}/traces")


if __name__ == "__main__":
    main()
