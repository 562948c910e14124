"""Index time and a run of ten documents: stock `lm_eval` next to `cotdistill eval`.

    python benchmarks/tasks/harness.py

CPU seconds (user + system) of whole processes, each case three times, the least taken; ratios are
of the same run. The model is a tiny random one, so that what is measured is the harness.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cotdistill.benchmarks.convert import questions_of
from cotdistill.benchmarks.packaged import benchmark
from cotdistill.benchmarks.store import write_split
from cotdistill.files.bundle import bundle_folder
from cotdistill.models.scratch import Scratch
from cotdistill.models.scratch_model import build_student

INDEX = "from lm_eval.tasks import TaskManager; TaskManager({arguments})"


def spent(command: list[str]) -> tuple[float, float]:
    """CPU and wall seconds of one process."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.perf_counter() - began


def least(command: list[str]) -> tuple[float, float]:
    """CPU and wall seconds of the quickest of three runs."""
    return min(spent(command) for _ in range(3))


def main() -> None:
    """Print the table."""
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COTDISTILL_DATA"] = f"{folder}/data"
        rows = [{"question": f"What is {n} + 1?", "answer": f"#### {n + 1}"} for n in range(10)]
        made = questions_of(benchmark("gsm8k"), "test", rows, "made up", any_size=True)
        write_split("gsm8k", "test", made.rows, {})
        model = Path(folder) / "model"
        build_student(Scratch(hidden_size=32, heads=2, layers=1, context=1024), ["1 + 1"], model)
        tasks = str(bundle_folder("task_configs"))
        run = [
            "--model", "hf", "--model_args", f"pretrained={model}", "--tasks", "cot_gsm8k",
            "--device", "cpu", "--gen_kwargs", "max_gen_toks=48", "--apply_chat_template",
        ]  # fmt: skip
        both = f"include_path={tasks!r}"
        only = f"{both}, include_defaults=False"
        python = sys.executable
        cases = {
            "import lm_eval.tasks": [python, "-c", "import lm_eval.tasks"],
            "index, stock": [python, "-c", INDEX.format(arguments=both)],
            "index, ours only": [python, "-c", INDEX.format(arguments=only)],
            "10 documents, lm_eval": [python, "-m", "lm_eval", "--include_path", tasks, *run],
            "10 documents, cotdistill eval": [python, "-m", "cotdistill", "eval", *run],
        }
        times = {name: least(command) for name, command in cases.items()}
    for name, (cpu, wall) in times.items():
        print(f"{name:32} {cpu:6.2f} s CPU  {wall:6.2f} s wall")
    start = times["import lm_eval.tasks"][0]
    index = {name: times[name][0] - start for name in ("index, stock", "index, ours only")}
    print(
        f"index alone: {index['index, stock']:.2f} s stock, {index['index, ours only']:.2f} s ours"
    )
    ten = [times[f"10 documents, {name}"][0] for name in ("lm_eval", "cotdistill eval")]
    print(f"ten documents: stock / ours = {ten[0] / ten[1]:.2f}")


if __name__ == "__main__":
    main()
