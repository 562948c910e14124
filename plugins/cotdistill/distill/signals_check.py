"""Whether stored signals are those of a training: its tokenizer, its temperature, its rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cotdistill.distill.signals.manifest import (
    ROW_SETTINGS,
    Job,
    joint_hash,
    read_manifest,
    vocabulary_hash,
    weight_hashes,
)
from cotdistill.distill.train_file import TrainFile
from cotdistill.errors import Fault

_AGAIN = "capture again, or train with the settings of the capture"


def signal_faults(file: TrainFile, tokenizer: Any, place: str) -> list[Fault]:
    """Return why signals cannot be trained with; their rows are looked up when training starts.

    Raises:
        DataError: there is no finished capture, or a shard is damaged.
    """
    settings = file.distillation
    source = settings.source
    manifest = read_manifest(Path(str(source.signals)), place)
    job = manifest.job
    faults = []
    if source.model and source.model != job.teacher:
        wrong = f"the signals are those of {job.teacher}"
        faults.append(Fault(f"{place}.model", wrong, source.model, _AGAIN))
    there = joint_hash(weight_hashes(source.model)) if source.model and job.weights else None
    if there not in (None, job.weights):
        changed = f"the weights of {source.model} are not those that the signals are of"
        faults.append(Fault(f"{place}.model", changed, "the same weights", _AGAIN))
    if source.revision and source.revision != job.revision:
        theirs = f"revision {job.revision}" if job.revision else "no named revision"
        wrong = f"the signals are those of {theirs}"
        faults.append(Fault(f"{place}.revision", wrong, source.revision, _AGAIN))
    if settings.temperature not in job.temperatures:
        known = ", ".join(f"{one:g}" for one in job.temperatures)
        wrong = f"the signals were captured for T = {known}"
        remedy = f"capture with --temperature {settings.temperature:g}"
        faults.append(Fault(f"{place}.temperature", wrong, f"T = {settings.temperature:g}", remedy))
    if settings.top_k and settings.top_k > job.top_k:
        wrong = f"the signals hold {job.top_k} tokens of the teacher"
        faults.append(Fault(f"{place}.top_k", wrong, f"at least {settings.top_k}", _AGAIN))
    if settings.vocabulary_check and vocabulary_hash(tokenizer) != job.tokenizer:
        wrong = "the signals were captured with another tokenizer"
        remedy = "capture for this student, or train on the teacher's text instead"
        faults.append(Fault(place, wrong, "the student's vocabulary", remedy))
    return faults


def row_differences(job: Job, arguments: Mapping[str, Any]) -> str:
    """Say which settings that change rows differ from those of the capture.

    >>> job = Job(teacher="m", engine="e", top_k=2, tokenizer="t", rows={"cutoff_len": 512})
    >>> row_differences(job, {"cutoff_len": 1024})
    'cutoff_len is 1024 here and was 512'
    """
    return ", ".join(
        f"{name} is {arguments.get(name)!r} here and was {job.rows.get(name)!r}"
        for name in ROW_SETTINGS
        if arguments.get(name) != job.rows.get(name)
    )
