"""Rows per second and peak memory of filter and mix, next to `datasets` and datatrove, in one run.

    python benchmarks/corpus/run.py [--rows 1000000] [--peer-rows 20000] [--datatrove PYTHON]

`filter` lints every row, removes exact, normalised and near duplicates, checks the written
arithmetic, and compares with all benchmarks that are prepared (`cotdistill prepare NAME`), if any
is; `mix` draws half of the kept rows. Rows a
second are rows over CPU seconds (user + system, all processes) times two: what two free cores do.
datatrove needs an environment of its own, with "datatrove[io,processing]==0.10.1", "xxhash<4" and
spacy: name its interpreter, or it is left out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from rows import write_rows
from tree import Cost, measured

from cotdistill.benchmarks.packaged import benchmark_names
from cotdistill.benchmarks.store import prepared_splits
from cotdistill.corpus.filtering.held_out import PACKAGED, held_out_questions
from cotdistill.files.jsonl import write_rows as write_jsonl

HERE = Path(__file__).parent


def show(name: str, rows: int, cost: Cost) -> None:
    """Print a line of the table."""
    rate = 2 * rows / cost.cpu_s
    print(
        f"{name:<44}{rows:>9}{cost.cpu_s:>9.1f}{cost.wall_s:>9.1f}{rate:>11.0f}{cost.peak_mib:>9.0f}"
    )


def ours(path: Path, rows: int, folder: Path) -> None:
    """Measure filter and mix."""
    cotdistill = [sys.executable, "-m", "cotdistill"]
    kept = folder / f"kept-{rows}.jsonl"
    first = measured(
        [*cotdistill, "filter", str(path), "-o", str(kept), *_test_sets(), "--sound",
         "--workers", "2"]
    )  # fmt: skip
    show("cotdistill filter", rows, first)
    mixed = folder / f"mixed-{rows}.jsonl"
    second = measured(
        [*cotdistill, "mix", f"all={kept}=1", "-o", str(mixed), "--rows", str(rows // 2)]
    )
    show("cotdistill mix (half of the rows)", rows, second)
    both = Cost(
        first.cpu_s + second.cpu_s,
        first.wall_s + second.wall_s,
        max(first.peak_mib, second.peak_mib),
    )
    show("cotdistill filter and mix", rows, both)


def _test_sets() -> list[str]:
    """Return the options that compare with test sets, where any is prepared."""
    prepared = any("test" in prepared_splits(name) for name in benchmark_names())
    return ["--against", "packaged"] if prepared else []


def ours_only(path: Path, rows: int, folder: Path) -> None:
    """Measure filter where it is asked for nothing but 13 words in common."""
    cost = measured(
        [sys.executable, "-m", "cotdistill", "filter", str(path), "-o", str(folder / "n.jsonl"),
         "--against", "packaged", "--overlap", "thirteen_words", "--grade", "off",
         "--duplicates", "none", "--workers", "2"]
    )  # fmt: skip
    show("cotdistill filter, only thirteen_words", rows, cost)


def write_questions(path: Path) -> int:
    """Write the test questions of all prepared benchmarks, and return how many there are."""
    questions, _ = held_out_questions([PACKAGED])
    return write_jsonl(path, ({"question": q.question, "gold": q.gold} for q in questions))


def main() -> None:
    """Make the rows, run everything once, print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--peer-rows", type=int, default=20_000)
    parser.add_argument("--datatrove", help="interpreter of an environment with datatrove")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="corpus-bench-") as name:
        folder = Path(name)
        print(f"{'':<44}{'rows':>9}{'CPU s':>9}{'wall s':>9}{'rows/s x2':>11}{'MiB':>9}")
        small, big = folder / "small.jsonl", folder / "big.jsonl"
        write_rows(asked.peer_rows, small)
        ours(small, asked.peer_rows, folder)
        peers = [sys.executable, str(HERE / "peers.py"), "datasets", str(small), str(folder / "d")]
        (folder / "d").mkdir()
        show("datasets map and filter (lint, exact)", asked.peer_rows, measured(peers))
        if asked.datatrove:
            peers = [asked.datatrove, str(HERE / "peers.py"), "datatrove", str(small)]
            cost = measured([*peers, str(folder / "t")])
            show("datatrove MinHash (near duplicates only)", asked.peer_rows, cost)
            questions = folder / "questions.jsonl"
            print(f"{write_questions(questions)} test questions of prepared benchmarks")
            peers = [asked.datatrove, str(HERE / "peers.py"), "decontaminate", str(small)]
            cost = measured([*peers, str(folder / "n"), str(questions)])
            show("datatrove 13-gram decontamination only", asked.peer_rows, cost)
            ours_only(small, asked.peer_rows, folder)
        if asked.rows:
            write_rows(asked.rows, big)
            ours(big, asked.rows, folder)


if __name__ == "__main__":
    main()
