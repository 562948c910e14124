"""The grader next to math-verify and inspect-ai: accuracy, speed, hostile input; tables on stdout.

    make bench-grader DATA=folder      # sets up .venv-bench for the peers, then runs this
    python benchmarks/grader/bench.py --data folder --peers .venv-bench/grader/bin/python
    make bench-grader DATA=folder AGAINST=tree   # and CPU time against another tree: against.py

The folder may hold grader_dev.jsonl (prediction, gold, label, source) and the test sets
gsm8k/test.jsonl, math500/test.jsonl, aqua/test.jsonl and lm_eval_samples_aime/; what is not there
is left out. Our own labelled pairs (tests/grading/cases_equivalence.txt) and the hostile set
always run.
Peers are asked about a sample of each stream, in the same run, on the same machine.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import hostile

from cotdistill.grading.equivalence.equivalent import equivalent
from cotdistill.grading.grade import grade

HERE = Path(__file__).parent
CASES = HERE.parents[1] / "tests" / "grading" / "cases_equivalence.txt"
PEERS = ("math-verify", "inspect-ai")
SAMPLE = 200
WATCHDOG = 20  # seconds without a line from a peer: it hangs where no signal reaches it

Pair = tuple[str, str]
Verdict = tuple[bool, float, str]


def ours(pairs: Iterable[Pair]) -> list[Verdict]:
    """Grade pairs one by one, in seconds of wall time."""
    found = []
    for text, gold in pairs:
        start = time.perf_counter()
        verdict = grade(text, gold)
        found.append((verdict.correct, time.perf_counter() - start, verdict.outcome))
    return found


def compared(pairs: Iterable[Pair]) -> list[Verdict]:
    """Compare bare answers, without extraction."""
    found = []
    for text, gold in pairs:
        start = time.perf_counter()
        verdict = equivalent(text, gold)
        found.append((verdict.equal is True, time.perf_counter() - start, verdict.tier))
    return found


def peer(name: str, python: str, pairs: list[Pair]) -> list[Verdict]:
    """Ask a peer; a pair that hangs it costs the watchdog's time and counts as wrong."""
    found: list[Verdict] = []
    while len(found) < len(pairs):
        rest = pairs[len(found) :]
        process = subprocess.Popen(
            [python, str(HERE / "peers.py"), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("no pipes")
        before = len(found)
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            for pair in rest:
                try:
                    process.stdin.write(json.dumps(pair) + "\n")
                    process.stdin.flush()
                except OSError:
                    break
                wait = WATCHDOG + 60 * (len(found) == before)  # the first waits for imports
                line = process.stdout.readline() if selector.select(wait) else ""
                if not line:
                    found.append((False, float(WATCHDOG), "hang"))
                    break
                equal, seconds, end = json.loads(line)
                found.append((equal, seconds, end))
        process.kill()
        process.wait()
        process.stdout.close()
    return found


def table(title: str, head: list[str], rows: list[list[str]]) -> None:
    """Print a Markdown table."""
    print(f"\n### {title}\n\n| {' | '.join(head)} |\n| {' | '.join('---' for _ in head)} |")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    sys.stdout.flush()


def timed(verdicts: list[Verdict]) -> list[str]:
    """Write pairs a second, and the median, 99th percentile and worst time in milliseconds."""
    times = sorted(seconds for _, seconds, _ in verdicts)
    at = [times[len(times) // 2], times[min(len(times) - 1, int(len(times) * 0.99))], times[-1]]
    return [f"{len(times) / sum(times):,.0f}", *(f"{1000 * seconds:.2f}" for seconds in at)]


def scored(verdicts: list[Verdict], labels: list[bool]) -> list[str]:
    """Write accuracy, false positives and false negatives."""
    says = [equal for equal, _, _ in verdicts]
    right = sum(equal == label for equal, label in zip(says, labels, strict=True))
    high = sum(equal and not label for equal, label in zip(says, labels, strict=True))
    low = sum(label and not equal for equal, label in zip(says, labels, strict=True))
    return [f"{100 * right / len(labels):.1f}", str(high), str(low)]


def accuracy(
    title: str, sources: list[str], pairs: list[Pair], labels: list[bool], python: str
) -> None:
    """Print accuracy by source, then in total, ours next to the peers'."""
    graders: dict[str, list[Verdict]] = {
        "cotdistill": ours(pairs) if title.startswith("Pred") else compared(pairs)
    }
    for name in PEERS if python else ():
        graders[name] = peer(name, python, pairs)
    rows = []
    for source in [*sorted(set(sources)), "all"]:
        at = [i for i, own in enumerate(sources) if source in (own, "all")]
        row = [source, str(len(at))]
        for verdicts in graders.values():
            row.append(" / ".join(scored([verdicts[i] for i in at], [labels[i] for i in at])))
        rows.append(row)
    table(
        f"{title}: accuracy % / false positives / false negatives",
        ["source", "pairs", *graders],
        rows,
    )
    head = ["grader", "pairs/s", "p50 ms", "p99 ms", "worst ms", "late or raised"]
    rows = []
    for name, verdicts in graders.items():
        broken = sum(end in ("late", "hang") or end[:1].isupper() for _, _, end in verdicts)
        rows.append([name, *timed(verdicts), str(broken)])
    table(f"{title}: time", head, rows)


def own_cases() -> tuple[list[str], list[Pair], list[bool]]:
    """Read our labelled pairs with their categories."""
    sources, pairs, labels, category = [], [], [], ""
    for line in CASES.read_text(encoding="utf-8").splitlines()[1:]:
        match = re.fullmatch(r"(.*) (===|=/=|=\?=) (.*)", line)
        if line.startswith("# "):
            category = line[2:]
        elif match:
            sources.append(category)
            pairs.append((match[1], match[3]))
            labels.append(match[2] == "===")
    return sources, pairs, labels


NUMBER_WAYS: list[Callable[[str], str]] = [
    lambda gold: f"So there are {gold.replace(',', '')} of them. The answer is {gold}.",
    lambda gold: f"Adding both, we get $\\boxed{{{gold.replace(',', '')}}}$.",
    lambda gold: f"It costs ${gold}.00 in all.\n#### {gold}",
    lambda gold: f"Therefore, the answer is **{gold}.0**",
    lambda gold: f"3 + 4 = 7, and so on.\nA: {gold}",
    lambda gold: f"Let us see. 2 * 5 = 10, not right. In the end it takes {gold} days.",
]
FRACTION = re.compile(r"(?<![\d ])\\frac{(\d+)}{(\d+)}")
NAMED = re.compile(r"=|\\in\b")
EXPRESSION_WAYS: list[Callable[[str], str]] = [
    lambda gold: f"We see that the answer is $\\boxed{{{gold}}}$.",
    lambda gold: "Thus \\[\\boxed{" + gold.replace("\\frac", "\\dfrac") + "}.\\]",
    lambda gold: f"The final answer is ${gold.replace(' ', '')}$. I hope it is correct.",
    lambda gold: "**Final answer:** $" + FRACTION.sub(r"{\1/\2}", gold) + "$",
    lambda gold: f"Hence $\\boxed{{{'' if NAMED.search(gold) else 'x = '}{gold}}}$",
]
LETTER_WAYS: list[Callable[[str], str]] = [
    lambda gold: f"The answer is ({gold}).",
    lambda gold: f"Therefore {gold} is correct.",
    lambda gold: f"So we choose **{gold})**. Answer: {gold}",
]


def streams(data: Path) -> dict[str, list[Pair]]:
    """Rewrite the golds of the test sets that are there; take real long outputs as they are."""
    found: dict[str, list[Pair]] = {}
    rewritten = {"gsm8k": NUMBER_WAYS, "math500": EXPRESSION_WAYS, "aqua": LETTER_WAYS}
    for name, ways in rewritten.items():
        path = data / name / "test.jsonl"
        if not path.exists():
            continue
        golds = [
            gold_of(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()
        ]
        found[f"{name} golds rewritten"] = [(way(gold), gold) for gold in golds for way in ways]
        if name != "aqua":
            others = golds[7:] + golds[:7]
            found[f"{name} golds, another's answer"] = [
                (way(other), gold)
                for gold, other in zip(golds, others, strict=True)
                for way in ways
            ]
    outputs = []
    for path in sorted((data / "lm_eval_samples_aime").rglob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if "resps" in row:
                outputs.append((row["resps"][0][0], str(row["target"])))
    if outputs:
        found["AIME samples, 25-43k characters"] = outputs
    return found


def gold_of(row: dict[str, str]) -> str:
    """Find the gold answer of a row of gsm8k, math500 or aqua."""
    gold = str(row.get("answer", row.get("correct", row.get("label", ""))))
    return gold.split("####")[-1].strip()


def hostile_table() -> None:
    """Print the worst times and memory of the hostile set, each pair in a process of its own."""
    rows = []
    for name, answer, gold in hostile.pairs():
        for how in ("equivalent", "grade"):
            rows.append((*alone(how, answer, gold), f"{name} ({how})"))
    rows.sort(reverse=True)
    cells = [[name, end, f"{seconds:.3f}", f"{size:.1f}"] for seconds, size, end, name in rows[:8]]
    top = max(rows, key=lambda row: row[1])
    cells.append([f"most memory: {top[3]}", top[2], f"{top[0]:.3f}", f"{top[1]:.1f}"])
    wrong = [name for _, _, outcome, name in rows if outcome.startswith("raised")]
    title = f"Hostile set: {len(rows)} calls, {len(wrong)} raised; slowest and largest"
    table(title, ["pair", "verdict", "seconds", "MiB grown"], cells)


def alone(how: str, answer: str, gold: str) -> tuple[float, float, str]:
    """Run one call in a fork: its seconds, how many MiB it grew by, its verdict."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        try:
            if how == "equivalent":
                outcome = str(equivalent(answer, gold).equal)
            else:
                outcome = grade(answer, gold).outcome
        except BaseException as wrong:
            outcome = f"raised {type(wrong).__name__}"
        seconds = time.perf_counter() - start
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        os.write(writing, json.dumps([seconds, grown / 1024, outcome]).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        reply = stream.read()
    os.waitpid(child, 0)
    seconds, size, outcome = json.loads(reply) if reply else (float("inf"), 0.0, "raised: died")
    return seconds, size, outcome


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=None, help="folder of test sets")
    parser.add_argument("--peers", default="", help="python of the peers' environment")
    parser.add_argument("--no-hostile", action="store_true")
    args = parser.parse_args()
    grade("The answer is 7.", r"\sqrt{49}")  # imports are not counted
    dev = args.data / "grader_dev.jsonl" if args.data else None
    if dev and dev.exists():
        rows = [json.loads(line) for line in dev.read_text(encoding="utf-8").splitlines()]
        pairs = [(row["prediction"], row["gold"]) for row in rows]
        sources = [row["source"] for row in rows]
        accuracy("Predictions", sources, pairs, [row["label"] for row in rows], args.peers)
    accuracy("Our own pairs of answers", *own_cases(), args.peers)
    if args.data:
        rows = []
        for name, pairs in streams(args.data).items():
            verdicts = ours(pairs)
            right = sum(equal for equal, _, _ in verdicts)
            rows.append([name, "cotdistill", str(len(pairs)), str(right), *timed(verdicts)])
            sample = random.Random(0).sample(pairs, min(SAMPLE, len(pairs)))
            for other in PEERS if args.peers else ():
                verdicts = peer(other, args.peers, sample)
                right = sum(equal for equal, _, _ in verdicts)
                rows.append([name, other, str(len(sample)), str(right), *timed(verdicts)])
        head = [
            "stream",
            "grader",
            "pairs",
            "graded equal",
            "pairs/s",
            "p50 ms",
            "p99 ms",
            "worst ms",
        ]
        table("Streams", head, rows)
    if not args.no_hostile:
        hostile_table()


if __name__ == "__main__":
    main()
