"""The distillation head and whole training steps on one GPU: one command, one clock, one file.

    PYTHONPATH=plugins python benchmarks/gpu/run.py [--peers FOLDER] [--minutes 8] [-o results.md]
    OMP_NUM_THREADS=1 PYTHONPATH=plugins python benchmarks/gpu/run.py --smallest   # on a CPU

Runs `steps.py` and then `head.py`, each in a process of its own, so that neither finds the other's
memory: the steps are given half of the time, the head what is left. Neither begins a line after its
time is over, and a process that is still at its last line then is stopped; its earlier lines are
in the file. The tables have the columns that fit what they measure, so there are two.
Needs torch and transformers, no network. FOLDER has Liger and TRL (benchmarks/kd/peers.txt:
2 MiB of wheels without Triton, which comes with torch on a GPU); LoRA needs peft, TRL's GKD an
installed TRL, which LLaMA-Factory brings.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
STOPPED = "Its time was over: lines may be missing."
LAST_LINE = 20
"""Seconds of the end that no new line may begin in."""


def main() -> int:
    """Measure both and write one file; exit status 1 if one failed or measured nothing."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", default="", help="folder with liger_kernel and trl")
    parser.add_argument("--minutes", type=float, default=8, help="for all that is measured")
    parser.add_argument("--smallest", action="store_true", help="shapes for a CPU")
    parser.add_argument("-o", "--output", type=Path, default=HERE / "results.md")
    options = parser.parse_args()
    began = time.monotonic()
    seconds = 60 * options.minutes
    parts = []
    failed = False
    for title, script, until in (
        ("Training steps", "steps.py", seconds / 2),
        ("The loss from hidden states", "head.py", seconds),
    ):
        left = until - (time.monotonic() - began)
        words = ["--seconds", f"{max(1.0, left - LAST_LINE):.0f}"]
        words += ["--smallest"] if options.smallest else []
        words += ["--peers", options.peers] if options.peers and script == "head.py" else []
        table, ended = measured([sys.executable, str(HERE / script), *words], left)
        lines = sum(line.startswith("| ") for line in table.splitlines()) - 1  # one is the header
        failed = failed or ended not in ("", STOPPED) or lines < 1
        note = f"\n{ended}\n" if ended else ""
        parts.append(f"## {title}\n\n{table}{note}")
    took = time.monotonic() - began
    parts.append(f"Both took {took:.0f} s in all.\n")
    options.output.write_text("\n".join(parts), encoding="utf-8")
    print(f"{options.output}: {took:.0f} s")
    return int(failed)


def measured(command: list[str], seconds: float) -> tuple[str, str]:
    """Return what a command printed, and how it ended where it did not end well."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            printed, _ = process.communicate(timeout=max(1.0, seconds))
            ended = f"exit status {process.returncode}" if process.returncode else ""
        except subprocess.TimeoutExpired:
            process.kill()
            printed, _ = process.communicate()
            ended = STOPPED
    print(printed, flush=True)
    return printed, ended


if __name__ == "__main__":
    sys.exit(main())
