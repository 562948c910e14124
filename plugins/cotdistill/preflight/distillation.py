"""Whether each run's teacher has its student's vocabulary, before either is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from cotdistill.distill.own_texts import ROWS_ENCODED, TextsToEncode, texts_to_encode
from cotdistill.distill.paths import distillation_path
from cotdistill.distill.train_file import read_arguments
from cotdistill.distill.vocabulary import vocabulary_faults
from cotdistill.errors import Fault, FaultsError
from cotdistill.files.jsonl import read_rows
from cotdistill.hosts.tokenizer import tokenizer_if_here
from cotdistill.runfolder.manifest import ManifestRun


class Vocabularies(NamedTuple):
    """What differs, the tokenizers and rows of the hub that are not here, and pairs compared."""

    faults: list[Fault]
    missing: list[str]
    unread: list[str]
    compared: int


class _Taught(NamedTuple):
    """A run with a teacher, its training arguments, and the file that names the teacher."""

    run: ManifestRun
    arguments: Mapping[str, Any]
    block: Path


def teacher_vocabularies(
    root: Path, runs: Sequence[ManifestRun], *, local: bool = False
) -> Vocabularies:
    """Compare the vocabulary of each run's student with its teacher's, on rows of all its arms.

    With `local` only models that are folders are looked at. Stored signals are left to the
    training, which compares a hash of the vocabulary. The hub is not asked for rows.
    """
    faults: list[Fault] = []
    missing: dict[str, None] = {}
    not_here: dict[str, None] = {}
    pairs: dict[tuple[str, str], list[_Taught]] = {}
    compared = 0
    for run in runs:
        path = root / str(run.files.train)
        if not distillation_path(path).is_file():
            continue
        try:
            arguments, block = read_arguments(path)
        except FaultsError as error:
            faults += error.faults
            continue
        if block is None or block.teacher is None or block.source.model is None:
            continue
        pair = str(arguments.get("model_name_or_path")), block.source.model
        if not block.vocabulary_check or not block.source.is_loaded:
            continue
        if local and not all(Path(name).is_dir() for name in pair):
            continue
        pairs.setdefault(pair, []).append(_Taught(run, arguments, distillation_path(path)))
    for pair, taught in pairs.items():
        try:
            texts, unread = _texts_of_all(root, taught)
            student, teacher = map(tokenizer_if_here, pair)
        except FaultsError as error:
            faults += error.faults
            continue
        if student is None or teacher is None:
            missing |= {n: None for n, t in zip(pair, (student, teacher), strict=True) if not t}
            continue
        compared += 1
        not_here |= dict.fromkeys(unread)
        faults += vocabulary_faults(student, teacher, texts, f"{taught[0].block}:teacher")
    return Vocabularies(list(dict.fromkeys(faults)), list(missing), list(not_here), compared)


def _texts_of_all(root: Path, taught: Sequence[_Taught]) -> TextsToEncode:
    """Return texts of the rows of every arm that runs are trained on."""
    first_of_arm: dict[str, _Taught] = {}
    for one in taught:
        first_of_arm.setdefault(one.run.arm, one)
    found = [_texts(root, one.run, one.arguments) for one in first_of_arm.values()]
    texts = [text for one in found for text in one.texts]
    return TextsToEncode(texts, [line for one in found for line in one.unread])


def _texts(root: Path, run: ManifestRun, arguments: Mapping[str, Any]) -> TextsToEncode:
    if run.files.data is None:  # registered on the hub
        return texts_to_encode(arguments, root, ask_hub=False)
    path = root / str(run.files.data)
    if not path.is_file():
        return TextsToEncode([], [])
    rows = islice(read_rows(path), ROWS_ENCODED)
    columns = ("instruction", "output")
    return TextsToEncode([str(row[key]) for row in rows for key in columns if key in row], [])
