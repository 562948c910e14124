"""Guided sampling against uniform at equal sampling cost, on the project's puzzles.

    python benchmarks/loops.py FOLDER [--seeds 3] [--rounds 2]

A tiny student is trained from nothing on a few hundred digit sums, so that it gets 20 to 40 % of
new ones right. Then two loops go on from there: uniform resampling, and state reset, which lets the
student continue the beginning of the reference solution. Both ask the same number of samples a
question at most (4 plain ones, then up to 4 more until 2 are right). Writes the study, runs it and
prints the development scores by round and the test scores. Minutes on a laptop, no network.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from cotdistill.benchmarks.puzzles import draw_puzzles
from cotdistill.files.yamls import dump_yaml
from cotdistill.results.report.loop_report import loops_in

STRATEGIES = ("uniform", "state_reset")


def study(seeds: int, rounds: int, steps: int) -> dict[str, object]:
    """Return the study."""
    recipe = {
        "max_steps": steps, "learning_rate": 4.0e-3, "precision": "fp32", "global_batch": 32,
        "per_device_batch": 32, "cutoff_len": 160,
    }  # fmt: skip
    shape = {"hidden_size": 64, "layers": 2, "heads": 4, "intermediate_size": 128, "context": 192}
    return {
        "schema_version": 2,
        "name": "guided-or-uniform",
        "about": "Does state reset beat uniform resampling at equal sampling cost?",
        "models": {"tiny": {"scratch": shape}},
        "students": ["tiny"],
        "questions": {"sums": {"file": "sums.jsonl", "dev": 150, "task": "cot_gsm8k"}},
        "arms": {"start": {"file": "start.jsonl"}},
        "recipes": {"full": recipe},
        "improve": {
            "recipe": "full", "start": "start", "rounds": rounds, "stop": None,
            "sample": {
                "questions": "sums", "samples": 4, "min_correct": 2, "attempts": 4,
                "temperature": 0.7, "max_tokens": 80,
            },
            "keep": {"per_question": 2, "data": "original"},
            "for": {"strategy": list(STRATEGIES)},
        },
        "seeds": list(range(1, seeds + 1)),
        "evaluation": {
            "tasks": ["cot_puzzles_digit_sum"], "batch_size": 50,
            "generation": {"max_gen_toks": 80},
        },
        "hardware": {"gpus": 0},
    }  # fmt: skip


def write_inputs(folder: Path, start: int, sampled: int) -> None:
    """Write the rows of the start and the questions, which have no row in common."""
    folder.mkdir(parents=True, exist_ok=True)
    puzzles = list(draw_puzzles("digit-sum", 6, start + sampled, 5, "train"))
    with (folder / "start.jsonl").open("w", encoding="utf-8") as stream:
        for one in puzzles[:start]:
            stream.write(json.dumps({"instruction": one.question, "output": one.rationale}) + "\n")
    with (folder / "sums.jsonl").open("w", encoding="utf-8") as stream:
        for one in puzzles[start:]:
            row = {
                "id": one.id, "dataset": "digit-sum", "split": "train", "question": one.question,
                "gold": one.answer, "kind": "number", "rationale": one.rationale,
            }  # fmt: skip
            stream.write(json.dumps(row) + "\n")
    (folder / "study.yaml").touch()


def main() -> None:
    """Write, run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=75, help="of every training")
    parser.add_argument("--start", type=int, default=400, help="rows that the first model learns")
    parser.add_argument("--sampled", type=int, default=450, help="questions, 150 for development")
    parser.add_argument("--only", default="", help="run only jobs of this pattern")
    given = parser.parse_args()
    write_inputs(given.folder, given.start, given.sampled)
    text = dump_yaml(study(given.seeds, given.rounds, given.steps))
    (given.folder / "study.yaml").write_text(text, encoding="utf-8")
    run = given.folder / "run"
    ours = [sys.executable, "-m", "cotdistill"]
    subprocess.run(
        [*ours, "generate", str(given.folder / "study.yaml"), "-o", str(run)], check=True
    )
    only = ["--only", given.only] if given.only else []
    subprocess.run([*ours, "run", str(run), "--jobs", "2", *only], check=True)
    by_arm: dict[str, list[tuple[float, ...]]] = {}
    for loop in loops_in(run):
        start = loop.choice.dev[0] if loop.choice and loop.choice.dev[0] is not None else 0.0
        scores = (start, *(one.decision.dev for one in loop.rounds))
        tokens = sum(one.data.tokens for one in loop.rounds)
        shown = " ".join(f"{100 * one:5.1f}" for one in scores)
        print(f"{loop.run.arm:22} seed {loop.run.seed}: dev by round {shown}; {tokens:,} tokens")
        by_arm.setdefault(loop.run.arm, []).append(scores)
    for arm, runs in by_arm.items():
        means = [100 * statistics.fmean(one) for one in zip(*runs, strict=False)]
        print(f"{arm:22} mean of {len(runs)}: {' '.join(f'{one:5.1f}' for one in means)}")


if __name__ == "__main__":
    main()
