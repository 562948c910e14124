"""Which files hold traces, and what their names and registrations say about their rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cotdistill.benchmarks.packaged import benchmark, benchmark_names
from cotdistill.benchmarks.question import question_key
from cotdistill.catalogue.packaged import datasets
from cotdistill.catalogue.registration import Registration
from cotdistill.corpus.records.gold_files import read_golds
from cotdistill.corpus.records.shape import ReadColumns, SourceInfo
from cotdistill.corpus.records.trace import Provenance
from cotdistill.errors import DataError, Fault
from cotdistill.files.jsonl import BadRow, numbered_rows

SUFFIXES = (".json", ".jsonl", ".parquet")
_NOT_ROWS = ("dataset_info.json", ".ledger.json")
_TEACHERS = {
    "chatgpt": "gpt-4o", "gemini": "gemini-1.5-flash", "llama": "llama-3-70b", "human": "human",
    "none": None,
}  # fmt: skip
_QUESTIONS = {
    "SVAMP": "svamp", "GSM8K": "gsm8k", "AQuA": "aqua", "MATH": "math", "CSQA": "csqa",
    "OBQA": "openbookqa", "StrategyQA": "strategyqa",
}  # fmt: skip
_MENTOR_SETS = {
    "asdiv": "asdiv", "svamp": "svamp", "gsm8k": "gsm8k", "commonsense_qa": "csqa",
    "strategy_qa": "strategyqa", "date_understanding": "date",
    "last_letter_concatenation": "last_letter",
    "tracking_shuffled_objects": "shuffled_objects",
}  # fmt: skip
_MENTOR_NAME = re.compile(
    rf"(?P<set>{'|'.join(_MENTOR_SETS)})"
    r"_(?P<what>test|train|teacher_chains|mentor_augmented_(?P<mentor>\w+)|3_train|6"
    r"|rand\d+_aug\d+)"
)
_TESTS = {
    "csqa_test": "csqa", "openbookQA_test": "openbookqa", "strategyQA_test": "strategyqa",
}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """One file read one way: the name of what comes out, and what is known of its rows."""

    name: str
    path: Path
    info: SourceInfo


def find_sources(paths: Sequence[Path], golds: Sequence[Path] = ()) -> list[Source]:
    """Return what there is to read in files and folders, in the order of their names.

    A file that a registration names is read by its columns, once for each registration; Mentor-KD's
    files are known by their names; of others the rows tell their shape. Rows without a gold get the
    one that a file of `golds`, or an answer-only or human file next to it, has for their question.

    Raises:
        DataError: a path is missing, or there is no file to read.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = sorted(each for each in path.rglob("*") if each.suffix in SUFFIXES)
            files += [each for each in found if not each.name.endswith(_NOT_ROWS)]
        elif path.is_file():
            files.append(path)
        else:
            raise DataError(Fault(str(path), "no such file or folder"))
    if not files:
        raise DataError(Fault(str(paths[0]), "no .json, .jsonl or .parquet file in it"))
    registered = _registered_by_file()
    sources = [_with_kind(source) for path in files for source in _known(path, registered)]
    given = golds_of(golds)
    return [_with_golds(source, registered, given) for source in sources]


def _registered_by_file() -> dict[str, list[Registration]]:
    by_file: dict[str, list[Registration]] = {}
    for registration in datasets().values():
        if registration.file_name and registration.about.cell:
            by_file.setdefault(registration.file_name, []).append(registration)
    return by_file


def _known(path: Path, registered: Mapping[str, list[Registration]]) -> list[Source]:
    if path.name in registered:
        return [_cell_source(path, registration) for registration in registered[path.name]]
    if path.stem in _TESTS:
        return [Source(path.stem, path, SourceInfo(dataset=_TESTS[path.stem], split="test"))]
    mentor = _MENTOR_NAME.search(path.stem)
    if mentor:
        return [Source(path.stem, path, _mentor_info(path, mentor))]
    return [Source(path.stem, path, SourceInfo(dataset=path.stem, split="unknown"))]


def _cell_source(path: Path, registration: Registration) -> Source:
    cell = registration.about.cell
    assert cell is not None
    info = SourceInfo(
        dataset=_QUESTIONS.get(cell.questions, cell.questions.lower()),
        columns=ReadColumns(registration.columns.prompt, response=registration.columns.response),
        answer_only=cell.format == "answer-only",
        registered=True,
        provenance=Provenance(
            teacher=_TEACHERS.get(cell.teacher, cell.teacher),
            level=cell.level,
            format=cell.format,
            licence=registration.about.licence,
        ),
    )
    return Source(registration.name, path, info)


def _mentor_info(path: Path, named: re.Match[str]) -> SourceInfo:
    what, mentor = named["what"], named["mentor"]
    if what.startswith("rand"):
        mentor = path.parent.name
    teacher = mentor.replace("_", "-") if mentor else "gpt-3.5-turbo"
    return SourceInfo(
        dataset=_MENTOR_SETS[named["set"]],
        split="test" if what == "test" else "train",
        provenance=Provenance(teacher=teacher, format="natural", licence="Apache-2.0"),
    )


def _with_kind(source: Source) -> Source:
    """Add the kind of answer that the questions of a known benchmark have."""
    if source.info.dataset not in benchmark_names():
        return source
    known = benchmark(source.info.dataset)
    return replace(source, info=replace(source.info, kind=known.kind, choices=known.inline))


def _with_golds(
    source: Source, registered: Mapping[str, list[Registration]], given: Mapping[str, str]
) -> Source:
    """Give a file without golds those that are given, or those of a file next to it."""
    info = source.info
    if info.answer_only or info.columns.prompt == "problem":
        return source
    golds = dict(given)
    for path, format_ in _gold_files(source.path, registered):
        golds = golds | _golds_in(path) if format_ == "answer-only" else _golds_in(path) | golds
    return replace(source, info=replace(info, golds=golds)) if golds else source


def neighbouring_gold_files(path: Path) -> list[Path]:
    """Return the answer-only and human files that a registered file's golds come from."""
    return list(dict.fromkeys(file for file, _ in _gold_files(path, _registered_by_file())))


def golds_of(paths: Sequence[Path]) -> dict[str, str]:
    """Return the reference answers of several files by question, the last word last.

    Human files first, then answer-only ones, both by what their outputs state, as their columns
    name no answer; then files of one's own.

    Raises:
        DataError: a file that is not registered lacks a question or an answer.
    """
    registered = _registered_by_file()
    human: dict[str, str] = {}
    answer_only: dict[str, str] = {}
    own: dict[str, str] = {}
    for path in paths:
        cells = [one.about.cell for one in registered.get(path.name, []) if one.about.cell]
        if any(cell.format == "answer-only" for cell in cells):
            answer_only |= _golds_in(path)
        elif any(cell.teacher == "human" for cell in cells):
            human |= _golds_in(path)
        else:
            own |= read_golds(path, "words")
    return human | answer_only | own


def _gold_files(
    path: Path, registered: Mapping[str, list[Registration]]
) -> Iterator[tuple[Path, str]]:
    cells = registered.get(path.name, [])
    mine = cells[0].about.cell if cells else None
    for neighbour in sorted(path.parent.iterdir()) if mine else []:
        for registration in registered.get(neighbour.name, []):
            cell = registration.about.cell
            if cell is None or mine is None or cell.questions != mine.questions:
                continue
            if cell.format == "answer-only" or cell.teacher == "human":
                yield neighbour, cell.format


def _golds_in(path: Path) -> dict[str, str]:
    """Return gold by question, of a file whose output is the answer or ends in stating it."""
    golds = {}
    for _, row in numbered_rows(path):
        if isinstance(row, BadRow) or not isinstance(row.get("output"), str):
            continue
        _, _, answer = row["output"].rpartition("nswer is ")
        if len(answer) < 40:
            golds[question_key(str(row.get("instruction", "")), "words")] = answer.strip().rstrip(
                "."
            )
    return golds
