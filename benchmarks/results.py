"""How fast samples are graded again and reported, and what share of a server the judge can use.

    python benchmarks/results.py rescore [SAMPLES...]   # samples a file; default 10000 100000
    python benchmarks/results.py report [SAMPLES...]
    python benchmarks/results.py judge                  # a loopback server that answers in 50 ms

`rescore` and `report` make their own samples: questions with numbers, fractions and expressions,
the same in every run, answered in a few hundred words. `judge` measures the server's ceiling in the
same run, with bare sockets that know no HTTP client, and prints the judge's requests per second as
a share of it.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from loopback import ceiling, started

STAMP = "2026-01-02T03-04-05.678901"
WORDS = (
    "add",
    "the",
    "parts",
    "then",
    "divide",
    "by",
    "what",
    "is",
    "left",
    "so",
    "that",
    "it",
    "fits",
)
REPLY = json.dumps(
    {
        "choices": [
            {
                "message": {"content": '{"verdict": "wrong", "reason": "differs"}'},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 300, "completion_tokens": 12},
    }
).encode()


def write_samples(folder: Path, count: int, run: str) -> Path:
    """Write a results file and its samples, about 1,200 characters a response."""
    asked, chance = random.Random(count), random.Random(f"{run}{count}")
    out = folder / run / "model"
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"samples_made_{STAMP}.jsonl"
    right = 0
    with path.open("w", encoding="utf-8") as stream:
        for number in range(count):
            gold, stated, correct = answer(asked, chance)
            right += correct
            words = " ".join(chance.choices(WORDS, k=230))
            close = rf"\boxed{{{stated}}}" if chance.random() < 0.8 else f"The answer is {stated}."
            doc = {"id": f"made-{number}", "question": f"Question {number}: what is it?"}
            row = {
                "doc_id": number,
                "doc": doc | {"gold": gold, "kind": "auto"},
                "target": gold,
                "arguments": {"gen_args_0": {"arg_0": doc["question"], "arg_1": {}}},
                "resps": [[f"{words}\n{close}"]],
                "filtered_resps": [""],
                "filter": "none",
                "metrics": ["exact_match"],
                "doc_hash": f"h{number}",
                "prompt_hash": f"p{number}",
                "exact_match": float(correct),
            }
            stream.write(json.dumps(row) + "\n")
    results = {
        "results": {"made": {"exact_match,none": right / count, "alias": "made"}},
        "n-samples": {"made": {"effective": count}},
        "total_evaluation_time_seconds": "60",
    }
    (out / f"results_{STAMP}.json").write_text(json.dumps(results), encoding="utf-8")
    return path


def answer(asked: random.Random, chance: random.Random) -> tuple[str, str, bool]:
    """Return a reference answer, a stated answer, and whether the two are equal."""
    a, b = asked.randint(2, 999), asked.randint(2, 99)
    kind = asked.random()
    correct = chance.random() < 0.6
    wrong = 0 if correct else 1
    if kind < 0.6:
        return str(a * b), f"{a * b + wrong:,}", correct
    if kind < 0.8:
        return rf"\frac{{{a}}}{{1009}}", f"{a + wrong}/1009", correct
    return rf"{a}x+{b}", rf"{b}+{a + wrong}x", correct


def timed(command: list[str]) -> tuple[float, float, float]:
    """Return wall seconds, CPU seconds and peak MiB of a command and its children."""
    code = (
        "import resource, subprocess, sys, time; start = time.perf_counter(); "
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, "
        "stderr=subprocess.DEVNULL); used = resource.getrusage(resource.RUSAGE_CHILDREN); "
        "print(time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command], check=True, capture_output=True, text=True
    )
    wall, cpu, peak = map(float, done.stdout.split())
    return wall, cpu, peak


def bench_rescore(counts: list[int]) -> None:
    """Print the time of `cotdistill rescore` by number of samples."""
    print(f"{'samples':>8} {'wall s':>8} {'CPU s':>8} {'peak MiB':>9} {'samples/s':>10}")
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            write_samples(Path(folder), count, "run")
            command = [sys.executable, "-m", "cotdistill", "rescore", folder]
            wall, cpu, peak = timed(command)
            print(f"{count:8,} {wall:8.1f} {cpu:8.1f} {peak:9.0f} {count / wall:10,.0f}")


def manifest_line(run: str, arm: str) -> dict[str, object]:
    """Return a run's line of a manifest; written out, so that older versions can be measured."""
    command: dict[str, object] = {"command": ["true"], "env": {}, "gpus": 0}
    return {
        "run": run,
        "student": "tiny",
        "arm": arm,
        "recipe": "full",
        "seed": 1,
        "files": {"train": f"train/{run}.yaml", "eval": f"eval/{run}.yaml"},
        "outputs": {"train": f"checkpoints/{run}", "evaluate": f"scores/{run}"},
        "stages": {"train": command, "evaluate": command},
        "sha256": {"train": "0", "eval": "0"},
    }


def bench_report(counts: list[int]) -> None:
    """Print the time of `cotdistill report` by number of samples, spread over ten runs."""
    print(f"{'samples':>8} {'wall s':>8} {'CPU s':>8} {'peak MiB':>9} {'page MiB':>9}")
    for count in counts:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with (folder / "manifest.jsonl").open("w", encoding="utf-8") as stream:
                for number in range(10):
                    run = f"tiny--arm{number}--full--s1"
                    write_samples(folder / "scores", count // 10, run)
                    stream.write(json.dumps(manifest_line(run, f"arm{number}")) + "\n")
                    trained = folder / "checkpoints" / run
                    trained.mkdir(parents=True)
                    results = {"train_loss": 0.5, "train_runtime": 60.0}
                    (trained / "all_results.json").write_text(json.dumps(results))
            wall, cpu, peak = timed([sys.executable, "-m", "cotdistill", "report", name])
            page = folder / "report" / "report.html"
            size = page.stat().st_size / 2**20 if page.is_file() else 0.0
            print(f"{count:8,} {wall:8.1f} {cpu:8.1f} {peak:9.0f} {size:9.2f}")


def bench_judge() -> None:
    """Print the judge's requests per second next to the ceiling, by concurrency.

    The two take turns, and the best of each counts, so that other work on the machine hits both.
    """
    from cotdistill.hosts.endpoint import Endpoint, endpoint_asker
    from cotdistill.hosts.lm_eval.samples import find_samples
    from cotdistill.results.judge import judge as stage
    from cotdistill.results.judge.ask import request_maker
    from cotdistill.results.judge.options import JudgeOptions
    from cotdistill.results.judge.responses import graded_file

    server, port = started(0.05, REPLY)
    heads = ("concurrency", "judge req/s", "ceiling req/s", "share", "possible", "CPU ms/request")
    print("  ".join(f"{head:>14}" for head in heads))
    options = JudgeOptions("bench", audit=1.0)  # every response is asked about
    with tempfile.TemporaryDirectory() as name:
        for concurrency in (8, 64, 256):
            count = max(800, concurrency * 60)  # seconds, so that starting up hardly counts
            folder = Path(name) / str(concurrency)
            write_samples(folder, count, "run")
            (file,) = find_samples([folder])
            first = graded_file(file, {}, options).responses[0]
            body = request_maker(options)(first).encoded
            ask = endpoint_asker(Endpoint((f"http://127.0.0.1:{port}/v1",), None, concurrency))
            seconds: list[float] = []
            used: list[float] = []
            bare: list[float] = []

            def clocked(requests, take, ask=ask, seconds=seconds, used=used):  # type: ignore[no-untyped-def]
                start, cpu = time.perf_counter(), time.process_time()
                ask(requests, take)
                seconds.append(time.perf_counter() - start)
                used.append(time.process_time() - cpu)

            for turn in range(3):
                bare.append(ceiling(port, body, concurrency, count, len(REPLY))[0])
                stage.judge([folder], options, clocked, folder / f"cache{turn}.jsonl")
            rate, most = count / min(seconds), max(bare)
            cells = [str(concurrency), f"{rate:,.0f}", f"{most:,.0f}", f"{rate / most:.0%}"]
            cells += [f"{concurrency / 0.05:,.0f}", f"{1000 * min(used) / count:.2f}"]
            print("  ".join(f"{cell:>14}" for cell in cells), flush=True)
    server.terminate()
    server.join()


if __name__ == "__main__":
    which, *rest = sys.argv[1:] or ["rescore"]
    sizes = [int(text) for text in rest] or [10_000, 100_000]
    {"rescore": bench_rescore, "report": bench_report, "judge": lambda _: bench_judge()}[which](
        sizes
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"(the benchmark itself: {peak:.0f} MiB)")
