"""A clean place to work in: what lies in a job's output folder is continued, kept aside or cleared.

LLaMA-Factory trains into whatever it finds: a folder that was used before is resumed from, trained
for nothing, and its results overwritten with zeros. So every attempt starts in a folder that is
empty, or that holds a whole checkpoint of the very same settings. A training that was interrupted
goes on from there: the host restores weights, optimizer, schedule, random state and its place in
the data, and the result is that of a training that was never interrupted. Where one of these was
not saved, or the host would not find its place, it starts again. Nothing with weights in it is
deleted: it moves to `stale/`.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from cotdistill.hosts.llamafactory.outputs import checkpoints, last_whole_checkpoint, training_fault
from cotdistill.runs.jobs import Job
from cotdistill.runs.plan import has_own_folder
from cotdistill.runs.records import Attempt, move_to_stale


@dataclass(frozen=True)
class Room:
    """What an attempt finds: a checkpoint to go on from, or everything there already, or nothing.

    `said` tells a person what was done with what lay there.
    """

    resume_from: Path | None = None
    complete: bool = False
    said: str = ""


def make_room(folder: Path, job: Job, made_from: dict[str, str], before: Attempt | None) -> Room:
    """Make a job's output folder ready for an attempt; the job's lock must be held."""
    if job.output is None or not has_own_folder(job) or not (folder / job.output).exists():
        return Room()
    same = before is not None and before.made_from == made_from
    if before is None or not same or before.state == "finished":
        was = "of unknown origin" if before is None else "of other settings" if not same else "used"
        return Room(said=f"{job.output} was {was}; moved to {move_to_stale(folder, job.output)}")
    if job.stage == "train":
        tried = before.notes.get("resumed_from") if before.state == "failed" else None
        return _room_to_train(folder, job.output, max(1, job.gpus), tried)
    shutil.rmtree(folder / job.output)
    return Room(said=f"{job.output} was half made; starting again")


def _room_to_train(folder: Path, relative: str, ranks: int, tried: str | None) -> Room:
    """`tried` is the checkpoint from which the attempt before could not go on."""
    output = folder / relative
    if _ended(output):
        return Room(complete=True, said="it had finished; only its record was missing")
    checkpoint = last_whole_checkpoint(output, ranks)
    if checkpoint is None or checkpoint.name == tried:
        if checkpoints(output):
            why = f"going on from {tried} failed" if checkpoint else "no checkpoint goes on exactly"
            place = move_to_stale(folder, relative)
            return Room(said=f"{why}; moved to {place}, starting again")
        shutil.rmtree(output)
        return Room(said="interrupted before its first checkpoint; starting again")
    step = int(checkpoint.name.rpartition("-")[2])
    for later in checkpoints(output):
        if int(later.name.rpartition("-")[2]) > step:
            move_to_stale(folder, str(later.relative_to(folder)))
    for name in ("train_results.json", "all_results.json", "README.md"):
        (output / name).unlink(missing_ok=True)
    _cut_log(output / "trainer_log.jsonl", step)
    return Room(resume_from=checkpoint, said=f"going on from {checkpoint.name}")


def _ended(output: Path) -> bool:
    """Whether the trainer wrote the last of its files: the model card comes after the results."""
    card, results = output / "README.md", output / "train_results.json"
    if not (card.is_file() and results.is_file()) or training_fault(output):
        return False
    return card.stat().st_mtime_ns >= results.stat().st_mtime_ns


def _cut_log(log: Path, step: int) -> None:
    """Drop the log lines of steps that will be taken again, so that each step stands once."""
    if not log.is_file():
        return
    kept = []
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        try:
            if json.loads(line)["current_steps"] <= step and line.endswith("\n"):
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            continue  # a line that the kill cut in half
    log.write_text("".join(kept), encoding="utf-8")
