"""Whether each run's teacher has its student's vocabulary, before either is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from cotdistill.distill.paths import distillation_path
from cotdistill.distill.train_file import read_arguments
from cotdistill.distill.vocabulary import vocabulary_faults
from cotdistill.errors import Fault, FaultsError
from cotdistill.files.jsonl import read_rows
from cotdistill.hosts.tokenizer import tokenizer_if_here
from cotdistill.runfolder.manifest import ManifestRun

_ENCODED = 1000


def teacher_vocabularies(
    root: Path, runs: Sequence[ManifestRun], *, local: bool = False
) -> tuple[list[Fault], list[str], int]:
    """Return what differs, the models whose tokenizer is not here, and the pairs compared.

    With `local` only models that are folders are looked at. Stored signals are left to the
    training, which compares a hash of the vocabulary.
    """
    faults: list[Fault] = []
    missing: dict[str, None] = {}
    seen: set[tuple[str, str]] = set()
    compared = 0
    for run in runs:
        path = root / str(run.files.train)
        if not distillation_path(path).is_file():
            continue
        try:
            arguments, block = read_arguments(path)
            texts = _texts(root, run)
        except FaultsError as error:
            faults += error.faults
            continue
        if block is None or block.teacher is None or block.source.model is None:
            continue
        pair = str(arguments.get("model_name_or_path")), block.source.model
        if pair in seen or not block.vocabulary_check or not block.source.is_loaded:
            continue
        if local and not all(Path(name).is_dir() for name in pair):
            continue
        seen.add(pair)
        try:
            student, teacher = map(tokenizer_if_here, pair)
        except FaultsError as error:
            faults += error.faults
            continue
        if student is None or teacher is None:
            missing |= {n: None for n, t in zip(pair, (student, teacher), strict=True) if not t}
            continue
        compared += 1
        place = f"{distillation_path(path)}:teacher"
        faults += vocabulary_faults(student, teacher, texts, place)
    return list(dict.fromkeys(faults)), list(missing), compared


def _texts(root: Path, run: ManifestRun) -> list[str]:
    path = root / str(run.files.data)
    if run.files.data is None or not path.is_file():
        return []
    rows = islice(read_rows(path), _ENCODED)
    columns = ("instruction", "output")
    return [str(row[column]) for row in rows for column in columns if column in row]
