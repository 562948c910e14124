"""Loops on the project's puzzles: does guidance help, and do the alarms tell a collapse?

    python benchmarks/loops.py guided FOLDER [--seeds 3]
    python benchmarks/loops.py collapse FOLDER
    python benchmarks/loops.py idle FOLDER

A tiny student is trained from nothing on 400 sums of six digits of which few are above four, and
goes on from there in loops over sums of all digits; the number of digits above four is a question's
difficulty. The share of small digits in the first rows (`--small`) says how good the first model
is: 24 epochs give 13 to 20 % of the development questions right at 0.95 (seeds 11 to 13), and 40 %
at 0.9 (seed 21).

`guided`: two loops go on from there, uniform resampling and state reset, which lets the student
continue the beginning of the reference solution. Both ask for the same number of samples a question
at most (4 plain ones, then up to 4 more until 2 are right). Ends with the report's comparison on
200 test questions.

`collapse` (with `--small 0.9`): one loop is made to collapse (one sample a question, no cap, its
own rows alone, each round from nothing), one is healthy (several samples, a cap, balanced, the
original rows kept). Prints every round's alarms.

`idle`: the CPU seconds of the jobs of a round that is skipped, in a copy of a `collapse` folder,
whose records it changes.

The jobs of the run folder are done one after another in this process, by LLaMA-Factory, lm-eval and
cotdistill, whose start would else take most of the time. No network.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from cotdistill.cli.main import main as cotdistill
from cotdistill.files.yamls import dump_yaml
from cotdistill.results.report.loop_report import loops_in
from cotdistill.runfolder.job import read_declared_jobs
from cotdistill.runs.jobs import read_jobs
from cotdistill.runs.own_jobs import run_own_job
from cotdistill.runs.records import JobRecord, made_from, read_record, write_record
from cotdistill.stats.distributions import t_quantile

SAMPLED = {"questions": "sums", "temperature": 0.7, "max_tokens": 64}
GUIDED = {
    "sample": {**SAMPLED, "samples": 4, "min_correct": 2, "attempts": 4},
    "keep": {"per_question": 2, "data": "original"},
    "for": {"strategy": ["uniform", "state_reset"]},
}
ROUND = ("sample", "filter", "likelihood", "train", "evaluate", "decide")
COLLAPSING = {
    "sample": {**SAMPLED, "samples": 1, "strategy": "vanilla"},
    "keep": {"data": "none"},
}
HEALTHY = {
    "sample": {**SAMPLED, "samples": 4, "min_correct": 2, "attempts": 4, "strategy": "uniform"},
    "keep": {"per_question": 2, "balance": True, "data": "original"},
}


def study(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """Return the study."""
    recipe = {
        "epochs": given.epochs, "learning_rate": given.rate, "precision": "fp32",
        "global_batch": 32, "per_device_batch": 32, "cutoff_len": 160,
    }  # fmt: skip
    loop: dict[str, Any] = {
        "recipe": "full", "start": "start", "rounds": given.rounds, "stop": None,
        "difficulty": "large", "likelihood": 100,
    }  # fmt: skip
    if given.from_:
        loop["from"] = given.from_
    made = {
        "schema_version": 2,
        "name": name,
        "about": "Loops on sums of digits",
        "models": {"tiny": {"scratch": {
            "hidden_size": 64, "layers": 2, "heads": 4, "intermediate_size": 128, "context": 192,
        }}},
        "students": ["tiny"],
        "questions": {"sums": {"file": "sums.jsonl", "dev": given.dev, "task": "cot_gsm8k"}},
        "arms": {"start": {"file": "start.jsonl"}},
        "recipes": {"full": recipe},
        "seeds": [given.train_seed + number for number in range(given.seeds)],
        "evaluation": {
            "tasks": [{"cot_puzzles_digit_sum": {"limit": 200}}], "batch_size": 50,
            "generation": {"max_gen_toks": 64},
        },
        "hardware": {"gpus": 0},
    }  # fmt: skip
    if name == "guided":
        return made | {"improve": {**loop, **GUIDED}}
    factors = {"collapsing": COLLAPSING, "healthy": HEALTHY}
    arms = {f"{key}": {"improve": {**loop, **own}} for key, own in factors.items()}
    return made | {"arms": {**made["arms"], **arms}}


def sums(count: int, seed: int, small: float) -> list[dict[str, Any]]:
    """Return different sums of six digits, of which the share `small` is below five."""
    source = random.Random(seed)
    rows: dict[tuple[int, ...], dict[str, Any]] = {}
    while len(rows) < count:
        digits = tuple(
            source.randrange(5) + (0 if source.random() < small else 5) for _ in range(6)
        )
        total, lines = 0, []
        for digit in digits:
            total = (total + digit) % 10
            lines.append(f"{digit} ={total}")
        large = sum(digit >= 5 for digit in digits)
        rows.setdefault(digits, {
            "id": f"sum-{''.join(map(str, digits))}", "dataset": "sums", "split": "train",
            "question": f"Start at 0. Add {', '.join(map(str, digits))}. What is the last digit?",
            "gold": str(total), "kind": "number",
            "rationale": "\n".join([*lines, f"The answer is {total}."]),
            "meta": {"large": min(max(large, 1), 5)},
        })  # fmt: skip
    return list(rows.values())


def write_inputs(folder: Path, given: argparse.Namespace) -> None:
    """Write the rows of the start and the questions, which have no row in common."""
    folder.mkdir(parents=True, exist_ok=True)
    start = sums(given.start, 5, given.small)
    known = {row["id"] for row in start}
    rows = [row for row in sums(2 * given.sampled, 6, 0.5) if row["id"] not in known]
    with (folder / "start.jsonl").open("w", encoding="utf-8") as stream:
        for row in start:
            one = {"instruction": row["question"], "output": row["rationale"]}
            stream.write(json.dumps(one) + "\n")
    text = "".join(json.dumps(row) + "\n" for row in rows[: given.sampled])
    (folder / "sums.jsonl").write_text(text, encoding="utf-8")


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of all finished children."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, kinds))


def do_jobs(run: Path, only: str) -> None:
    """Do the jobs of a run folder in this process, those that are done already left out."""
    from llamafactory.train.tuner import run_exp

    for job in (read_declared_jobs(run) or {}).values():
        output = run / (job.output or "")
        if job.stage == "collect" or only not in job.name or output.exists():
            continue
        before = cpu_seconds()
        if job.stage == "train":
            run_exp(yaml.safe_load((run / str(job.file)).read_text(encoding="utf-8")))
        elif job.command:
            if job.command[0] != "cotdistill" or cotdistill(list(job.command[1:])):
                raise SystemExit(f"{job} failed")
        else:
            run_own_job(run, job.stage, job.name)
        print(f"{job}: {cpu_seconds() - before:.1f} CPU s", flush=True)


def show(run: Path) -> None:
    """Print the rounds of every loop, their alarms, and the means over seeds."""
    by_arm: dict[str, dict[int, tuple[float, ...]]] = {}
    for loop in loops_in(run):
        start = loop.choice.dev[0] if loop.choice and loop.choice.dev[0] is not None else 0.0
        scores = (start, *(one.decision.dev for one in loop.rounds))
        tokens = sum(one.data.tokens for one in loop.rounds)
        shown = " ".join(f"{100 * one:5.1f}" for one in scores)
        print(f"{loop.run.arm:22} seed {loop.run.seed}: dev by round {shown}; {tokens:,} tokens")
        for one in loop.rounds:
            data, own = one.data, one.decision.likelihood
            hardest = "-" if data.hardest_share is None else f"{data.hardest_share:.1%}"
            nats = "-" if own is None else f"{own:.3f}"
            rows = ", ".join(f"{many} {kind}" for kind, many in data.rows.items())
            print(f"  round {one.number}: covered {data.coverage:.1%}, hardest questions {hardest}")
            print(f"    of the new rows, {nats} nats a token, rows {rows}")
            for line in one.decision.alarms:
                print(f"    alarm: {line}")
        by_arm.setdefault(loop.run.arm, {})[loop.run.seed] = scores
    for arm, runs in by_arm.items():
        means = [100 * statistics.fmean(one) for one in zip(*runs.values(), strict=False)]
        print(f"{arm:22} mean of {len(runs)}: {' '.join(f'{one:5.1f}' for one in means)}")
    first = by_arm.get("improve-uniform", {})
    for arm, runs in by_arm.items():
        gaps = [100 * (runs[seed][-1] - first[seed][-1]) for seed in runs if seed in first]
        if len(gaps) > 1 and runs is not first:
            mean, t = statistics.fmean(gaps), t_quantile(0.975, len(gaps) - 1)
            half = t * statistics.stdev(gaps) / len(gaps) ** 0.5
            print(
                f"{arm} minus uniform, last round, development questions: {mean:+.1f} points "
                f"[{mean - half:+.1f}, {mean + half:+.1f}] over {len(gaps)} seeds"
            )


def idle(run: Path) -> None:
    """Time the jobs of a skipped round: those of the second round of a loop that ended after one.

    They are started as a run starts them. What goes before counts as done, and is not timed.
    """
    record = next(iter(sorted((run / "rounds").glob("*--round1.json"))))
    text = json.loads(record.read_text(encoding="utf-8"))
    record.write_text(json.dumps({**text, "skip": {"*": "to be timed"}}), encoding="utf-8")
    name = record.stem.replace("--round1", "--round2")
    jobs = read_jobs(run)
    timed = {(stage, name) for stage in ROUND}
    for job in jobs.values():
        parts = None if job.id in timed else made_from(run, jobs, job)
        if parts is not None and read_record(run, job.id) is None:
            write_record(run, job.id, JobRecord(parts, "0" * 64, 0.0, "", {}))
    for stage in ROUND:
        (run / "done" / stage / f"{name}.json").unlink(missing_ok=True)
        before = cpu_seconds()
        words = ["step", stage, name, "--folder", str(run)]
        subprocess.run([sys.executable, "-m", "cotdistill", *words], check=True)
        print(f"{stage}: {cpu_seconds() - before:.2f} CPU s", flush=True)


def main() -> None:
    """Write, run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("guided", "collapse", "idle", "show"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--train-seed", type=int, default=1, help="the first of the seeds")
    parser.add_argument("--rounds", type=int, default=None)
    parser.add_argument("--epochs", type=float, default=24.0, help="of every training")
    parser.add_argument("--rate", type=float, default=4.0e-3, help="learning rate")
    parser.add_argument("--from", dest="from_", default=None, help="base or previous")
    parser.add_argument("--start", type=int, default=400, help="rows that the first model learns")
    parser.add_argument("--small", type=float, default=0.95, help="share of digits below 5 in them")
    parser.add_argument("--sampled", type=int, default=350, help="questions, --dev included")
    parser.add_argument("--dev", type=int, default=150, help="questions for development")
    parser.add_argument("--only", default="", help="do only jobs whose name holds this text")
    given = parser.parse_args()
    given.folder = given.folder.resolve()
    run = given.folder / "run"
    if given.what == "show":
        show(run)
        return
    if given.what == "idle":
        idle(run)
        return
    given.rounds = given.rounds or {"guided": 1, "collapse": 3}[given.what]
    write_inputs(given.folder, given)
    text = dump_yaml(study(given.what, given))
    (given.folder / "study.yaml").write_text(text, encoding="utf-8")
    if cotdistill(["generate", str(given.folder / "study.yaml"), "-o", str(run)]):
        raise SystemExit(1)
    os.chdir(run)
    do_jobs(run, given.only)
    show(run)
    if given.what == "guided" and not given.only:
        cotdistill(["report", str(run), "--baseline", "improve-uniform"])
    print(f"{cpu_seconds():,.0f} CPU s")


if __name__ == "__main__":
    main()
