"""Run commands of `cotdistill` in forked children, and kill some of them at given moments.

    python kill_many.py < JOBS.json

A job is {"words": [...], "until": [FOLDER, PATTERN, COUNT] or null, "wait": seconds}: its child is
killed with SIGKILL that long after COUNT files match, or runs to its end. The children are forked,
because starting the hosts takes seconds. The last line printed says how each ended: its exit
status, or "killed".
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Run the jobs in order and report."""
    import llamafactory.train.sft.workflow
    import llamafactory.train.tuner  # noqa: F401

    import cotdistill.distill.trainer.capture_engine
    import cotdistill.distill.trainer.host_rows
    import cotdistill.distill.trainer.host_trainer
    import cotdistill.distill.trainer.teacher  # noqa: F401

    endings = [ended(job) for job in json.load(sys.stdin)]
    sys.stdout.write(f"{json.dumps(endings)}\n")


def ended(job: dict[str, Any]) -> int | str:
    """Return how a job's child ended."""
    sys.stdout.flush()
    child = os.fork()
    if not child:
        run(job["words"])
    status = None
    while job["until"] is not None and status is None:
        folder, pattern, count = job["until"]
        status = over(child, os.WNOHANG)
        if status is None and len(list(Path(folder).glob(pattern))) >= count:
            time.sleep(job["wait"])
            os.kill(child, signal.SIGKILL)
            break
        time.sleep(0.001)
    status = over(child, 0) if status is None else status
    return "killed" if status == -signal.SIGKILL else int(status or 0)


def over(child: int, options: int) -> int | None:
    """Return the exit status of a child, or None while it runs."""
    found, status = os.waitpid(child, options)
    return os.waitstatus_to_exitcode(status) if found else None


def run(words: list[str]) -> None:
    """Run a command in this process, and end it."""
    from cotdistill.cli.main import main as call

    os.dup2(2, 1)
    code = 70
    try:
        code = call(words)
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
