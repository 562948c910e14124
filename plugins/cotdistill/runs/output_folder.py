"""A clean output folder for each attempt: what is in it is resumed from, moved aside or removed.

LLaMA-Factory trains into whatever it finds: a folder that was used before is resumed from, trained
for nothing, and its results overwritten with zeros. So every attempt starts in a folder that is
empty, or that holds a whole checkpoint of the very same settings. A training that was interrupted
resumes from there: the host restores weights, optimizer, schedule, random state and its position in
the data, and the result is that of a training that was never interrupted. Where one of these was
not saved, or the host would not find its position, training starts again. An evaluation that was
interrupted keeps the responses that it has. A training that a person started with the same file and
that is whole is adopted. Nothing with weights in it is deleted: it moves to `stale/`.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from cotdistill.files.stale import move_to_stale
from cotdistill.hosts.llamafactory.outputs import training_fault
from cotdistill.hosts.llamafactory.resume import checkpoints, last_whole_checkpoint
from cotdistill.hosts.llamafactory.trained_with import why_not_trained_with
from cotdistill.hosts.lm_eval.kept_responses import LOCK, kept_responses
from cotdistill.runs.jobs import Job
from cotdistill.runs.plan import has_own_folder
from cotdistill.runs.records import RESUMED_FROM, Attempt, read_attempt


@dataclass(frozen=True)
class StartingPoint:
    """Where an attempt starts: at a checkpoint, at nothing, or with everything there already.

    `note` says what was done with the contents of the output folder. What a person made is adopted
    as it is. `responses` counts those that an evaluation has already.
    """

    resume_from: Path | None = None
    complete: bool = False
    adopted: bool = False
    responses: int = 0
    note: str = ""

    @property
    def is_part(self) -> bool:
        """Whether the attempt does only what an earlier one left, so that its time is no whole."""
        return self.complete or self.resume_from is not None or self.responses > 0


def prepare_output_folder(
    folder: Path, job: Job, made_from: dict[str, str], before: Attempt | None
) -> StartingPoint:
    """Make a job's output folder ready for an attempt; the job's lock must be held."""
    if job.output is None or not has_own_folder(job) or not (folder / job.output).exists():
        return StartingPoint()
    unlike = _why_not_adopted(folder, job, before)
    if _can_be_adopted(job, before) and not unlike:
        note = f"adopted: it was trained with {job.file}"
        return StartingPoint(complete=True, adopted=True, note=note)
    if why := _why_moved(made_from, before):
        moved = move_to_stale(folder, job.output)
        detail = f" ({unlike})" if unlike else ""
        return StartingPoint(note=f"{job.output} was {why}; moved to {moved}{detail}")
    assert before is not None
    if job.stage == "train":
        tried = before.notes.get(RESUMED_FROM) if before.state == "failed" else None
        return _prepare_training(folder, job.output, max(1, job.gpus), tried)
    if job.stage == "evaluate":
        return _prepare_evaluation(folder / job.output, job.output)
    shutil.rmtree(folder / job.output)
    return StartingPoint(note=f"{job.output} was half made; starting again")


def foreseen(folder: Path, job: Job, made_from: dict[str, str] | None) -> str:
    """Return what an attempt would do with results that no job of ours made, or that are outdated.

    Changes nothing. Empty where there is nothing, or where the job resumes. `made_from` is None
    where the jobs before this one have not finished.
    """
    if job.output is None or not has_own_folder(job) or not (folder / job.output).exists():
        return ""
    before = read_attempt(folder, job.id)
    detail = _why_not_adopted(folder, job, before)
    if _can_be_adopted(job, before) and not detail:
        return f"would adopt {job.output}: it was trained with {job.file}"
    why = _why_moved(made_from, before)
    if not why:
        return ""
    return f"would move {job.output} to stale/: it was {why}" + (f" ({detail})" if detail else "")


def _why_moved(made_from: dict[str, str] | None, before: Attempt | None) -> str:
    """Return why a job cannot resume with the contents of its output folder; else an empty text."""
    if before is None:
        return "of unknown origin"
    if made_from is not None and before.made_from != made_from:
        return "of other settings"
    return "used" if before.state == "finished" else ""


def _can_be_adopted(job: Job, before: Attempt | None) -> bool:
    """Whether a job is a training whose output folder no job of ours has written into."""
    return before is None and job.stage == "train" and None not in (job.output, job.file)


def _why_not_adopted(folder: Path, job: Job, before: Attempt | None) -> str:
    """Return why contents of unknown origin are not this very training; empty where they are."""
    if not _can_be_adopted(job, before):
        return ""
    assert job.output is not None
    assert job.file is not None
    made_from = [folder / path for path in job.inputs]
    return why_not_trained_with(folder / job.output, folder / job.file, made_from)


def _prepare_evaluation(output: Path, relative: str) -> StartingPoint:
    """Keep the responses that `cotdistill eval` resumes from; remove what else is half made."""
    kept = kept_responses(output)
    for path in output.iterdir():
        if path in kept.files or path.name == LOCK:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    if not kept.responses:
        return StartingPoint(note=f"{relative} was half made; starting again")
    note = f"resuming after {kept.responses:,} responses"
    return StartingPoint(responses=kept.responses, note=note)


def _prepare_training(folder: Path, relative: str, ranks: int, tried: str | None) -> StartingPoint:
    """`tried` is the checkpoint from which the attempt before could not resume."""
    output = folder / relative
    if _ended(output):
        return StartingPoint(complete=True, note="it had finished; only its record was missing")
    checkpoint = last_whole_checkpoint(output, ranks)
    if checkpoint is None or checkpoint.name == tried:
        if checkpoints(output):
            why = f"resuming from {tried} failed" if checkpoint else "no checkpoint resumes exactly"
            moved = move_to_stale(folder, relative)
            return StartingPoint(note=f"{why}; moved to {moved}, starting again")
        shutil.rmtree(output)
        return StartingPoint(note="interrupted before its first checkpoint; starting again")
    step = int(checkpoint.name.rpartition("-")[2])
    for later in checkpoints(output):
        if int(later.name.rpartition("-")[2]) > step:
            move_to_stale(folder, str(later.relative_to(folder)))
    for name in ("train_results.json", "all_results.json", "README.md"):
        (output / name).unlink(missing_ok=True)
    _cut_log(output / "trainer_log.jsonl", step)
    return StartingPoint(resume_from=checkpoint, note=f"resuming from {checkpoint.name}")


def _ended(output: Path) -> bool:
    """Whether the trainer wrote the last of its files: the model card comes after the results."""
    card, results = output / "README.md", output / "train_results.json"
    if not (card.is_file() and results.is_file()) or training_fault(output):
        return False
    return card.stat().st_mtime_ns >= results.stat().st_mtime_ns


def _cut_log(log: Path, step: int) -> None:
    """Drop the log lines of steps that will be taken again, so that each step is in it once."""
    if not log.is_file():
        return
    kept = []
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        try:
            if json.loads(line)["current_steps"] <= step and line.endswith("\n"):
                kept.append(line)
        except (ValueError, KeyError, TypeError, RecursionError):
            continue  # a line that the kill cut in half
    log.write_text("".join(kept), encoding="utf-8")
