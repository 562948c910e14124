"""An executor of Snakemake whose jobs take time of a clock that only it moves.

The workflow, its resources and the scheduler are the real ones; a job is a number of minutes. The
clock moves to the end of the next job only while the scheduler waits, so that nothing depends on
the speed of the machine. A job takes its GPUs as a step does, by their locks. What happens is
written to SIMULATED_LOG, a line of JSON each.
"""

from __future__ import annotations

import heapq
import itertools
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.real import RealExecutor
from snakemake_interface_executor_plugins.settings import CommonSettings

from cotdistill.hosts.machine.gpus import Devices, take_devices

common_settings = CommonSettings(
    non_local_exec=False,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
    pass_envvar_declarations_to_cmd=False,
    auto_deploy_default_storage_provider=False,
)


class Executor(RealExecutor):
    """Jobs under way, ordered by their end."""

    def __post_init__(self) -> None:
        self.now = 0
        self.devices = os.environ["SIMULATED_GPUS"].split(",")
        self.under_way: list[tuple[int, int, SubmittedJobInfo, Devices]] = []
        self.number = itertools.count()
        self.lock = threading.Lock()
        self.stopped = False
        threading.Thread(target=self._move_clock, daemon=True).start()

    def run_job(self, job: Any) -> None:
        """Take the job's GPUs, which must be free, and note when it ends."""
        info = SubmittedJobInfo(job=job)
        count = int(job.resources.get("gpu", 0))
        locks = Path(os.environ["SIMULATED_LOG"]).parent / "locks"
        taken = take_devices(count, self.devices, locks, str(job), _refuse)
        end = self.now + int(job.resources.get("runtime", 0))
        with self.lock:
            heapq.heappush(self.under_way, (end, next(self.number), info, taken))
        self._note("start", job=_name(job), gpus=taken.ids, end=end)
        self.report_job_submission(info)

    def _move_clock(self) -> None:
        while not self.stopped:
            scheduler = getattr(self.workflow, "scheduler", None)
            if scheduler is None or not _waits(scheduler) or not self.under_way:
                time.sleep(0.001)
                continue
            busy = sum(len(taken.ids) for _, _, _, taken in self.under_way)
            sizes = [int(one.resources.get("gpu", 0)) for one in scheduler.open_jobs]
            timers = sum(isinstance(one, threading.Timer) for one in threading.enumerate())
            free = len(self.devices) - busy
            self._note("waits", free=free, ready=sorted(sizes), timers=timers)
            self.now = self.under_way[0][0]
            ended = []
            with self.lock:
                while self.under_way and self.under_way[0][0] == self.now:
                    ended.append(heapq.heappop(self.under_way)[2:])
            for info, taken in ended:
                for output in info.job.output:
                    Path(output).parent.mkdir(parents=True, exist_ok=True)
                    Path(output).touch()
                taken.free()
                self._note("end", job=_name(info.job), gpus=taken.ids)
            for info, _ in ended:
                self.report_job_success(info)

    def _note(self, what: str, **words: Any) -> None:
        with Path(os.environ["SIMULATED_LOG"]).open("a", encoding="utf-8") as log:
            log.write(json.dumps({"what": what, "now": self.now, **words}) + "\n")

    def shutdown(self) -> None:
        """Stop the clock."""
        self.stopped = True

    def cancel(self) -> None:
        """Stop the clock: nothing else runs."""
        self.stopped = True

    def get_exec_mode(self) -> Any:
        """No job starts a Snakemake of its own."""
        raise NotImplementedError

    def get_python_executable(self) -> str:
        """No job starts a Python of its own."""
        raise NotImplementedError

    @property
    def cores(self) -> Any:
        """The cores that Snakemake was given."""
        return self.workflow.resource_settings.cores


def _name(job: Any) -> str:
    return f"{job.rule.name} {job.wildcards_dict.get('name', '')}".strip()


def _refuse() -> None:
    raise AssertionError("Snakemake started a job whose GPUs are not free")


def _waits(scheduler: Any) -> bool:
    """Whether the scheduler has done its round and waits for a job to end."""
    signal = scheduler._open_jobs
    with signal._cond:
        return signal._value == 0 and bool(signal._cond._waiters)
