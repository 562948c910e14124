"""The question sets of a study: their questions, and which of them are kept for development.

A question is chosen for development by a hash of its words and the set's seed, so that it does not
matter in which file, order or wording of its label it comes. No arm is trained on it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotdistill.benchmarks.choices import apart, record_key
from cotdistill.benchmarks.packaged import benchmark_names
from cotdistill.benchmarks.question import asked_only, with_ids
from cotdistill.benchmarks.store import prepared_splits, read_split, split_file
from cotdistill.catalogue.packaged import datasets
from cotdistill.catalogue.registration import DatasetColumns
from cotdistill.errors import DataError, Fault, FaultsError, StudyError, did_you_mean
from cotdistill.files.atomic import sha256_of
from cotdistill.files.jsonl import numbered_rows, read_rows
from cotdistill.grading.extract.gold import read_gold
from cotdistill.grading.kinds import Kind
from cotdistill.studies.questions import Questions
from cotdistill.studies.study import Study
from cotdistill.teach.questions import Item, items_in

Record = Mapping[str, Any]
DATASET_FILE = "the dataset's file"
_ASKED, _ANSWERED = "question", "gold"
_FAULTS_SHOWN = 5
_SCALE = 1 << 64
_NUMBER = re.compile(r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<![\w.])\.\d+")


@dataclass(frozen=True)
class QuestionSet:
    """One question set: the file that it is in, and how much of it is for development.

    `columns` says which columns of a registered dataset's file hold question and answer.
    """

    name: str
    declared: Questions
    path: Path
    columns: DatasetColumns | None = None

    @property
    def is_here(self) -> bool:
        """Whether its questions can be read now: a file, or a benchmark that is prepared."""
        name = self.declared.benchmark
        if name is None:
            return self.path.is_file()
        return self.declared.split in prepared_splits(name)

    @property
    def not_here(self) -> Fault:
        """What to say where its questions are needed and not here."""
        if self.declared.benchmark is None:
            wrong = f"no such file {self.path}"
            remedy = "fetch it and say --set data_folder=FOLDER"
            return Fault(f"questions {self.name}", wrong, DATASET_FILE, remedy)
        name, split = self.declared.benchmark, self.declared.split
        wrong = f"the split '{split}' of {name} is not prepared"
        remedy = f"type: cotdistill prepare {name} --split {split}"
        return Fault(f"questions {self.name}", wrong, "", remedy)

    @property
    def digest(self) -> str:
        """What decides which of its questions are for development, whether it is here or not."""
        which = self.declared.model_dump(mode="json", exclude={"task", "largest_number"})
        if which["dataset"] is None:  # a later key, which counts only where it is used
            del which["dataset"]
        has_file = self.declared.benchmark is None and self.path.is_file()
        return json.dumps([which, sha256_of(self.path) if has_file else None])

    @functools.cached_property
    def rows(self) -> tuple[Record, ...]:
        """Its questions with their reference answers.

        Raises:
            DataError: the file is broken, or rows have no question or no answer.
        """
        if self.declared.benchmark is not None:
            return tuple(read_split(self.declared.benchmark, self.declared.split))
        return tuple(question_rows(self.path, self.name, self.columns))

    @functools.cached_property
    def held_out(self) -> tuple[Record, ...]:
        """The development questions, asked or not, in the order of the file."""
        keys = self.dev_keys
        return tuple(r for r in self.rows if record_key(r) in keys)

    @functools.cached_property
    def dev(self) -> tuple[Record, ...]:
        """The development questions that are asked, in the order of the file."""
        largest = self.declared.largest_number
        return tuple(r for r in self.held_out if largest is None or largest_number(r) <= largest)

    @functools.cached_property
    def dev_keys(self) -> frozenset[str]:
        """The keys of the development questions: a share of all, or the so many of least hash."""
        keys = dict.fromkeys(record_key(row) for row in self.rows)
        ranks = {key: _rank(key, self.declared.seed) for key in keys}
        if self.declared.dev < 1:
            limit = int(self.declared.dev * _SCALE)
            return frozenset(key for key, rank in ranks.items() if rank < limit)
        least = sorted(ranks, key=lambda key: ranks[key])[: int(self.declared.dev)]
        return frozenset(least)


def asked_file(name: str) -> str:
    """Return where the questions of a set that a model is asked lie, relative to the run folder.

    >>> asked_file("svamp")
    'data/questions/svamp.jsonl'
    """
    return f"data/questions/{name}.jsonl"


def question_sets(study: Study, place: str) -> tuple[dict[str, QuestionSet], list[Fault]]:
    """Return the question sets of a study that are here, and why others are not."""
    found: dict[str, QuestionSet] = {}
    faults: list[Fault] = []
    for name in study.questions:
        where = f"{place}:questions.{name}"
        try:
            found[name] = _question_set(study, name, where)
        except FaultsError as error:
            faults += error.faults
    return found, faults


@dataclass(frozen=True)
class DevQuestions:
    """The questions of a study that no arm is trained on; `missing` are sets that are not here."""

    keys: frozenset[str] = frozenset()
    digests: tuple[str, ...] = ()
    missing: tuple[QuestionSet, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.digests)


def dev_questions(sets: Mapping[str, QuestionSet]) -> DevQuestions:
    """Return the development questions of a study; reads the sets that have some."""
    kept = [one for one in sets.values() if one.declared.dev]
    return DevQuestions(
        frozenset(key for one in kept if one.is_here for key in one.dev_keys),
        tuple(one.digest for one in kept),
        tuple(one for one in kept if not one.is_here),
    )


def _question_set(study: Study, name: str, where: str) -> QuestionSet:
    declared = study.questions[name]
    if declared.dataset is None:
        return QuestionSet(name, declared, _path_of(declared, where))
    registered, place = datasets(), f"{where}.dataset"
    found = registered.get(declared.dataset)
    if found is None:
        hint = did_you_mean(declared.dataset, list(registered))
        raise StudyError(Fault(place, f"unknown dataset '{declared.dataset}'", "", hint))
    if found.file_name is None or found.columns.prompt is None:
        wrong = f"'{declared.dataset}' is not a file with a column of questions"
        expected = "a local file with questions and answers"
        raise StudyError(Fault(place, wrong, expected, "or say benchmark: NAME"))
    path = Path(study.data_folder or ".") / found.file_name
    return QuestionSet(name, declared, path, found.columns)


def _path_of(declared: Questions, where: str) -> Path:
    if declared.file is not None:
        path = Path(declared.file)
        if not path.is_file():
            raise StudyError(Fault(f"{where}.file", f"no such file {path}"))
        return path
    name = str(declared.benchmark)
    if name not in benchmark_names():
        hint = did_you_mean(name, list(benchmark_names()))
        raise StudyError(Fault(f"{where}.benchmark", f"no benchmark '{name}'", "", hint))
    return split_file(name, declared.split)


def question_rows(path: Path, name: str, columns: DatasetColumns | None) -> list[dict[str, Any]]:
    """Return the questions of a file with their reference answers, each with an id.

    `columns` says which columns of a registered dataset hold question and answer. Another file has
    the columns `question` and `gold`, and keeps all others, or is read as `teach` reads it: GSM8K's
    answer is what follows its `####`. Choices stand apart from the question, as in benchmarks.

    Raises:
        DataError: the file is broken, or rows have no question or no answer.
    """
    asked, answered = _ASKED, _ANSWERED
    if columns is not None:
        asked, answered = str(columns.prompt), str(columns.response)
    found: list[dict[str, Any]] = []
    faults: list[Fault] = []
    if columns is not None or _are_ours(path):
        expected = f"text in the columns {asked} and {answered}"
        for number, row in enumerate(read_rows(path), start=1):
            question, gold = row.get(asked), row.get(answered)
            if not isinstance(question, str) or not question.strip():
                faults.append(Fault(f"{path}:{number}", "no question", expected))
            elif gold in (None, ""):
                faults.append(Fault(f"{path}:{number}", "no reference answer", expected))
            else:
                kind = row.get("kind") or _kind(str(gold))
                record = {**row, "question": question, "gold": str(gold), "kind": kind}
                found.append(_with_choices_apart(record, bool(row.get("kind"))))
    else:
        for place, item in items_in(str(path)):
            if isinstance(item, str):
                faults.append(Fault(place, item, "a question", "correct or remove the row"))
            elif not item.gold:
                remedy = "put it into the column gold"
                faults.append(Fault(place, "no reference answer", "one for each question", remedy))
            else:
                found.append(_row(item))
    if faults:
        more = len(faults) - _FAULTS_SHOWN
        shown = faults[:_FAULTS_SHOWN]
        raise DataError(
            [*shown, Fault(str(path), f"{more:,} more like these")] if more > 0 else shown
        )
    return list(with_ids(name, found))


def _are_ours(path: Path) -> bool:
    """Whether the first row of a file has the columns of our own records."""
    _, row = next(numbered_rows(path))
    return isinstance(row, dict) and row.keys() >= {_ASKED, _ANSWERED}


def _row(item: Item) -> dict[str, Any]:
    row: dict[str, Any] = {
        "question": item.question,
        "gold": item.gold,
        "kind": _kind(item.gold) if item.kind == "auto" else item.kind,
    }
    row = {"options": item.options} | _with_choices_apart(row, item.kind != "auto")
    more = {"rationale": item.rationale, "meta": item.meta}
    return {key: value for key, value in (row | more).items() if value}


def _kind(gold: str) -> Kind:
    """Return what a reference answer is where its row does not say so: a number, or not."""
    return "number" if read_gold(gold, "auto", has_options=False).kind == "number" else "auto"


def _with_choices_apart(row: dict[str, Any], has_kind: bool) -> dict[str, Any]:
    """Return a record whose choices are apart from its question, as those of benchmarks are."""
    if row.get("options") or "hoices" not in row["question"]:
        return row
    stem, options = apart(asked_only(row["question"]))
    letter = row["gold"].strip("(). ").upper()
    if options is None or letter not in options:
        return row
    kind = row["kind"] if has_kind else "letter"
    return {**row, "question": stem, "options": options, "gold": letter, "kind": kind}


def largest_number(row: Record) -> float:
    """Return the largest number in digits of a question and its reference answer, 0 without any.

    Not read: numbers in words (twelve) and exponents (1e6 is 1 and 6).

    >>> largest_number({"question": "A box has 1,200 pens, 7.5 are red. Others?", "gold": "1192.5"})
    1200.0
    """
    found = _NUMBER.findall(f"{row['question']} {row['gold']}")
    return max((float(number.replace(",", "")) for number in found), default=0.0)


def _rank(key: str, seed: int) -> int:
    digest = hashlib.sha256(f"dev {seed} {key}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def dev_document(row: Record, fields: Sequence[str]) -> dict[str, Any]:
    """Return a development question as a task's document: without its rationale."""
    return {**{name: row.get(name) for name in fields}, "split": "dev", "rationale": None}
