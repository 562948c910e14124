"""What happens in a run folder: jobs that started, ended or failed, read from their records.

Records are read rather than Snakemake's output, so that this works the same for jobs on this
machine and for jobs on a cluster that shares the folder.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from cotdistill.hosts.llamafactory.outputs import TrainingNow, training_now
from cotdistill.hosts.progress_bar import REQUESTS, last_bar
from cotdistill.runs.job_sizes import JobSizes
from cotdistill.runs.jobs import Job, JobId, Jobs, log_of, marker_of
from cotdistill.runs.records import (
    PART,
    RESPONSES,
    RESUMED_FROM,
    SKIPPED,
    Attempt,
    attempt_path,
    read_attempt,
    read_record,
    step_of,
)
from cotdistill.runs.time_left import seconds_left
from cotdistill.tables import duration

What = Literal["fetched", "started", "finished", "failed", "stopped"]


@dataclass(frozen=True)
class Event:
    """Something that happened, with a few words about it: to a job, or before the first one."""

    what: What
    job: Job | None = None
    words: str = ""

    def __str__(self) -> str:
        if self.job is None:
            return f"{self.what} {self.words}"
        return f"{self.what} {self.job}" + (f" ({self.words})" if self.words else "")


@dataclass
class Watch:
    """The jobs of one `cotdistill run`, and what was last seen of each."""

    folder: Path
    jobs: Jobs
    run: str
    waiting: dict[JobId, int] = field(default_factory=dict)
    running: dict[JobId, Attempt] = field(default_factory=dict)
    failed: dict[JobId, Attempt] = field(default_factory=dict)
    finished: dict[JobId, float] = field(default_factory=dict)
    before: dict[JobId, float] = field(default_factory=dict)
    untimed: set[JobId] = field(default_factory=set)
    sizes: JobSizes = field(init=False)

    def __post_init__(self) -> None:
        """Remember the sizes of the jobs of this folder."""
        self.sizes = JobSizes(self.folder)

    def expect(self, pending: Iterable[JobId]) -> None:
        """Watch these jobs from now on; of others, what they took before tells the time left."""
        for job in pending:
            self.finished.pop(job, None)
            self.waiting.setdefault(job, 0)
        for job in self.jobs:
            done = None if job in self.waiting else read_record(self.folder, job)
            if done is not None and not _is_untimed(done.notes):
                self.before[job] = done.seconds

    def look(self) -> list[Event]:
        """Return what happened since the last look."""
        events: list[Event] = []
        for job in list(self.waiting):
            if (self.folder / marker_of(job)).exists():
                done = read_record(self.folder, job)
                self.finished[job] = done.seconds if done else 0.0
                details = [f"{self.finished[job]:.1f} s"]
                if done and _is_untimed(done.notes):
                    self.untimed.add(job)
                if done and SKIPPED in done.notes:
                    details = [f"skipped: {done.notes[SKIPPED]}"]
                elif done and job not in self.running:  # it was too fast to be seen running
                    details += _start(done.notes)
                self._forget(job)
                events.append(Event("finished", self.jobs[job], ", ".join(details)))
            else:
                events += self._look_at_attempt(job)
        return events

    def line(self) -> str:
        """Return one line on overall progress."""
        total = len(self.waiting) + len(self.finished) + len(self.failed)
        parts = [f"{len(self.finished)}/{total} jobs"]
        if self.failed:
            parts.append(f"{len(self.failed)} failed")
        if left := self.left():
            parts.append(f"about {duration(left)} left")
        now = [self.place(job) for job in self.running]
        return " · ".join([*parts, *now[:3], *([f"{len(now) - 3} more"] if len(now) > 3 else [])])

    def left(self) -> float | None:
        """Return the seconds until all is done, None while too little is known."""
        running = {job: _seconds_since(one.started) or 0.0 for job, one in self.running.items()}
        waiting = [job for job in self.waiting if job not in running]
        took = {job: took for job, took in self.finished.items() if job not in self.untimed}
        took = {**self.before, **took}
        every = (*waiting, *running, *took)
        sizes = {job: size for job in every if (size := self.sizes.of(self.jobs[job]))}
        at_least = {job: self._left_by_its_bar(job) for job in running}
        shares = {job: self._share(job) for job in running}
        return seconds_left(self.jobs, took, waiting, running, sizes, at_least, shares)

    def _share(self, job: JobId) -> float:
        """Return which share of a running job was left for this attempt; all, if it is not known.

        An evaluation's bar counts the requests that are left, that of a training all steps; other
        bars, of rows or files that are loaded before, say nothing of it.
        """
        attempt = self.running[job]
        bar = last_bar(self.folder / log_of(job), attempt.log_from)
        responses, steps = int(attempt.notes.get(RESPONSES, 0)), step_of(attempt.notes)
        is_own = bar is not None and bar.what == ("" if job[0] == "train" else REQUESTS)
        if bar is None or not is_own or bar.total < max(1, steps):
            return 1.0
        return (bar.total - steps) / (bar.total + responses)

    def _left_by_its_bar(self, job: JobId) -> float:
        """Return the time left that a job's bar shows, less while it has not got far.

        The first batches of an evaluation are the longest, and a start is slower than what follows.
        """
        bar = last_bar(self.folder / log_of(job), self.running[job].log_from)
        if bar is None or not bar.total:
            return 0.0
        return (bar.seconds_left or 0.0) * min(1.0, bar.done / bar.total)

    def place(self, job: JobId) -> str:
        """Return the progress of a running job as far as its host tells it.

        Of a training it is the step, the loss, the speed and the time left; before its first step,
        and of other jobs, what the host's progress bar says, or how long the job has been starting.
        """
        known, attempt = self.jobs[job], self.running[job]
        bar = last_bar(self.folder / log_of(job), attempt.log_from)
        now = None
        if job[0] == "train" and known.output:
            now = training_now(self.folder / known.output)
            if bar and not bar.what and (now is None or bar.total == now.steps):
                now = now or TrainingNow(bar.done, bar.total, left=bar.left)
                if bar.done > now.step:
                    now = replace(now, step=bar.done, left=bar.left)
        if now is None and bar is None:
            return f"{known} {_since(attempt.started)}"
        return f"{known} {now or bar}"

    def _forget(self, job: JobId) -> None:
        self.waiting.pop(job, None)
        self.running.pop(job, None)

    def _look_at_attempt(self, job: JobId) -> list[Event]:
        try:
            stamp = attempt_path(self.folder, job).stat().st_mtime_ns
        except OSError:
            return []
        if stamp == self.waiting[job]:
            return []
        attempt = read_attempt(self.folder, job)
        if attempt is None or attempt.run != self.run:
            return []
        self.waiting[job] = stamp
        if attempt.state == "running":
            self.running[job] = attempt
            gpus = ",".join(attempt.notes.get("gpus", []))
            details = [f"GPU {gpus}"] if gpus else []
            return [Event("started", self.jobs[job], ", ".join(details + _start(attempt.notes)))]
        if attempt.state == "failed":
            self.failed[job] = attempt
            self._forget(job)
            return [Event("failed", self.jobs[job], f"see {self.folder / log_of(job)}")]
        self.running.pop(job, None)
        return [Event("stopped", self.jobs[job])] if attempt.state == "stopped" else []


def _is_untimed(notes: dict[str, Any]) -> bool:
    """Whether a record's seconds are not those of a whole job; older records have no note of it."""
    resumed = str(notes.get("start", "")).startswith("resuming")
    return resumed or any(name in notes for name in (SKIPPED, PART, RESUMED_FROM))


def _since(started: str) -> str:
    """Say how long ago a job was started, in whole minutes and seconds."""
    since = _seconds_since(started)
    if since is None:
        return "started"
    seconds = round(since)
    return f"started {seconds // 60}:{seconds % 60:02d} ago"


def _seconds_since(started: str) -> float | None:
    try:
        then = datetime.fromisoformat(started)
    except ValueError:
        return None
    return max(0.0, (datetime.now(UTC) - then).total_seconds())


def _start(notes: dict[str, Any]) -> list[str]:
    """What an attempt did with the contents of its output folder; 0.1 called it "room"."""
    note = notes.get("start") or notes.get("room")
    return [str(note)] if note else []
