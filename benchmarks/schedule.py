"""What dealing out GPUs costs and how full they are: a simulated node, with the real scheduler.

    python benchmarks/schedule.py [RUNS] [GPUS]

RUNS trainings on 1 to 8 GPUs, each with an evaluation on one, of random lengths; jobs take time of
a simulated clock only (tests/support/simulated_node.py), so the CPU time is that of Snakemake.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from simulated_node import simulate


def main(runs: int, gpus: int) -> None:
    """Print the table."""
    print("  runs  jobs  makespan   bound  ratio   CPU s  ms a job")
    for count in (runs // 8, runs // 2, runs):
        with tempfile.TemporaryDirectory() as place:
            node = simulate(Path(place) / "node", count, gpus)
        ratio, each = node.makespan / node.bound, 1000 * node.cpu_seconds / node.jobs
        print(
            f"{count:6}{node.jobs:6}{node.makespan:10}{node.bound:8.0f}{ratio:7.3f}"
            f"{node.cpu_seconds:8.1f}{each:10.0f}"
        )
        idle, twice = len(node.idle_while_work_fits()), len(node.doubly_used())
        if idle or twice:
            print(f"  {idle} moments with a free GPU and work for it; {twice} given twice")


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    main(*[*given, *(500, 8)[len(given) :]])
