"""Answer a file of requests that `--batch-out openai` wrote, on the GPUs of a Ray cluster.

    python run_batch.py OUT/batch/requests-0001.jsonl MODEL --tasks 8 [OPTIONS OF vllm run-batch]

Each task is one of run-batch.sh (of the SLURM profile) and holds a GPU while it answers its share
of the requests; all nodes must see the files under the same names. The same command resumes after
a failure; keep the number of tasks then.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import ray

SCRIPT = Path(__file__).resolve().parents[1] / "slurm" / "run-batch.sh"


def main() -> int:
    """Run all tasks; return 1 if one failed."""
    parser = argparse.ArgumentParser(description="vllm run-batch on the GPUs of a Ray cluster")
    parser.add_argument("requests", type=Path)
    parser.add_argument("model")
    parser.add_argument("--tasks", type=int, required=True, help="parts of the file")
    parser.add_argument("--gpus", type=float, default=1.0, help="of each task")
    options, of_vllm = parser.parse_known_args()
    words = ["sh", str(SCRIPT), str(options.requests.resolve()), options.model, *of_vllm]
    ray.init(address=os.environ.get("RAY_ADDRESS", "auto"), log_to_driver=True)

    @ray.remote(num_cpus=1, num_gpus=options.gpus, max_retries=0)
    def answer(task: int) -> int:
        array = {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_COUNT": str(options.tasks)}
        return subprocess.run(words, env=os.environ | array, check=False).returncode

    waiting = {answer.remote(task): task for task in range(options.tasks)}
    failed = []
    while waiting:
        (done,), _ = ray.wait(list(waiting), num_returns=1)
        task = waiting.pop(done)
        try:
            status = ray.get(done)
        except ray.exceptions.RayError as error:  # its node or worker is gone
            status = " ".join(str(error).split())[:200]
        if status != 0:
            failed.append(task)
        say(f"task {task}: {'done' if status == 0 else f'failed ({status})'}")
    if failed:
        say(f"{len(failed)} of {options.tasks} tasks failed; the same command repeats them")
    return 1 if failed else 0


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
