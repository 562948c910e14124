"""The grader of this tree next to that of another one, in one run: CPU time and verdicts by stream.

    python benchmarks/grader/against.py OTHER_TREE --data folder [--rounds 3]

Each round asks both graders about every stream in a process of its own, one after the other; the
least CPU time of all rounds counts, because other work on the machine only ever adds to it. The
streams are those of `bench.py`, and the development pairs of grader_dev.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
_CHILD = """
import json, sys, time
from cotdistill import grade
grade("The answer is 7.", r"\\sqrt{49}")
found = {}
for name, pairs in json.load(open(sys.argv[1], encoding="utf-8")).items():
    start = time.process_time()
    correct = [grade(text, gold).correct for text, gold in pairs]
    found[name] = [time.process_time() - start, correct]
print(json.dumps(found))
"""

Measured = dict[str, tuple[float, list[bool]]]


def measured(tree: Path, pairs: Path) -> Measured:
    """Grade every stream with the grader of a tree, in a fresh process."""
    environment = {**os.environ, "PYTHONPATH": str(tree / "plugins"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", _CHILD, str(pairs)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        name: (seconds, correct) for name, (seconds, correct) in json.loads(done.stdout).items()
    }


def main() -> None:
    """Print one line a stream."""
    from bench import streams, table

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("other", type=Path, help="root of the other tree")
    parser.add_argument("--data", type=Path, required=True, help="folder of test sets")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    pairs = streams(args.data)
    dev = args.data / "grader_dev.jsonl"
    if dev.exists():
        rows = [json.loads(line) for line in dev.read_text(encoding="utf-8").splitlines()]
        pairs["development pairs"] = [(row["prediction"], row["gold"]) for row in rows]
    trees = {"other": args.other, "this": HERE.parents[1]}
    best: dict[str, Measured] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pairs.json"
        file.write_text(json.dumps(pairs), encoding="utf-8")
        for _ in range(args.rounds):
            for name, tree in trees.items():
                found = measured(tree, file)
                least = best.setdefault(name, found)
                best[name] = {
                    stream: min(least[stream], found[stream], key=lambda one: one[0])
                    for stream in found
                }
    rows = []
    for stream, asked in pairs.items():
        (before, old), (now, new) = best["other"][stream], best["this"][stream]
        changed = sum(one != two for one, two in zip(old, new, strict=True))
        rows.append([
            stream, str(len(asked)), f"{len(asked) / before:,.0f}", f"{len(asked) / now:,.0f}",
            f"{before / now:.2f}", str(sum(old)), str(sum(new)), str(changed),
        ])  # fmt: skip
    head = ["stream", "pairs", "other pairs/s", "this pairs/s", "speed ratio", "other correct",
            "this correct", "changed"]  # fmt: skip
    table("CPU time against the other tree", head, rows)


if __name__ == "__main__":
    main()
