"""From a real model's rationales to a trained and scored student, in one command on a CPU.

    make models && .venv/bin/python benchmarks/real_teacher.py QUESTIONS [COUNT] [-o FOLDER]

A study whose arms SmolLM2-135M-Instruct (`make models`) writes: COUNT questions (20) of a file at
levels 1, 3 and 6. The right rationales of each level train a tiny student, which answers three
questions that the script brings. It shows how well so small a teacher keeps to levels (hardly) and
that every stage works; the scores mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cotdistill.cli.tables import show_table
from cotdistill.tables import Table
from cotdistill.teach.checks import step_count
from cotdistill.teach.obedience import Obedience

ROOT = Path(__file__).resolve().parents[1]
COTDISTILL = [sys.executable, "-m", "cotdistill"]
STUDY = """schema_version: 2
name: real-teacher
models:
  tiny: {scratch: {hidden_size: 64, layers: 1, heads: 2, intermediate_size: 64, context: 512}}
  teacher: {endpoint: "%(url)s", model: SmolLM2-135M-Instruct}
students: [tiny]
questions: {some: {file: questions.jsonl}}
arms:
  "level-{level}":
    for: {level: [1, 3, 6]}
    teach: {questions: some, teacher: teacher, level: "{level}", gold: shown, again: 1,
            temperature: 0, max_tokens: 160, stop: ["\\n\\nQuestion:"], allow_missing: 0.9}
    filter: {grade: strict}
recipes:
  full: {template: full, global_batch: 2, per_device_batch: 2, cutoff_len: 384, max_steps: 8,
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


def run(*words: str) -> None:
    """Run one verb as a user would type it."""
    print(f"$ cotdistill {' '.join(words)}", flush=True)
    if status := subprocess.call([*COTDISTILL, *words]):
        raise SystemExit(f"exit {status}")


def taught(folder: Path) -> Table:
    """Return how the teacher kept the levels, over the traces of all arms."""
    obedience = Obedience()
    steps: dict[str, dict[int, int]] = defaultdict(dict)
    for path in sorted(folder.glob("data/teach/level-*/traces.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            text, level = row["rationale"], row["provenance"]["level"]
            faults = [name.removesuffix("_missed") for name in row["meta"].get("flags", ())]
            asked = row["provenance"].get("asked") or 1
            steps[row["question"]][level] = count = step_count(text)
            obedience.add("natural", level, count, len(text.split()), faults, asked)
    for each in steps.values():
        obedience.add_question("natural", each)
    return obedience.table()


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
    test = folder / "test.jsonl"
    test.write_text("".join(json.dumps({"question": q, "answer": a}) + "\n" for q, a in TEST))
    run("prepare", "gsm8k", "--from", str(test), "--any-size")
    lines = given.questions.read_text(encoding="utf-8").splitlines()[: given.count]
    (folder / "questions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with served() as url:
        (folder / "study.yaml").write_text(STUDY % {"url": given.endpoint or url})
        run("generate", str(folder / "study.yaml"), "-o", str(folder / "run"))
        run("run", str(folder / "run"), "--jobs", "1")
    run("report", str(folder / "run"))
    show_table(taught(folder / "run"))
    print(f"{given.count} questions, {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
