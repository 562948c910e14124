"""Whether the arms of a study hold questions that its own tasks test with.

A row counts as a test question if it has the same words (`question_key`), or all words of a test
question one after another, with other words around them. Looser matches (other numbers, most of the
words) are counted separately: data sets that are made from templates have them by nature.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from cotdistill.arms.build import is_current
from cotdistill.arms.rows import Tally, bare_question, source_traces
from cotdistill.benchmarks.choices import record_key, with_choices, words_key
from cotdistill.benchmarks.packaged import benchmark, benchmark_names
from cotdistill.benchmarks.puzzle_task import puzzle_documents
from cotdistill.benchmarks.store import prepared_splits, read_split
from cotdistill.corpus.records.trace import asked
from cotdistill.corpus.text.contamination import (
    RULES,
    HeldOut,
    HeldOutIndex,
    bare,
    index_of,
    overlaps,
)
from cotdistill.corpus.text.words import spelled, words_of
from cotdistill.errors import Fault
from cotdistill.files.jsonl import Row, read_rows
from cotdistill.hosts.lm_eval.task_files import file_key, tasks_behind, upstream_dataset
from cotdistill.studies.arm import SampleArm, TeachArm
from cotdistill.studies.question_sets import QuestionSet, dev_questions, question_sets
from cotdistill.studies.resolved_arm import ResolvedArm
from cotdistill.studies.study import Study
from cotdistill.tables import counted

_SAME = RULES.index("same_question")
_SIMILAR = tuple(map(RULES.index, ("same_stem", "same_but_numbers", "most_of_question")))
_FEWEST_WORDS = 8  # a shorter test question inside a row may be anybody's phrase
_BATCH = 20_000
_NAMED = 5  # arms that a note names
_DEV = "dev_"  # and the name of a question set: the task that asks its development questions


@dataclass(frozen=True)
class AskedQuestions:
    """The questions that the tasks of a study ask, and the tasks whose questions are not here."""

    questions: tuple[HeldOut, ...]
    missing: tuple[str, ...]  # benchmarks that are not prepared
    unknown: tuple[str, ...]  # tasks whose questions only lm-eval can load

    def sizes(self) -> Mapping[str, int]:
        """Return the number of questions by benchmark."""
        return Counter(question.benchmark for question in self.questions)


@dataclass(frozen=True)
class Compared:
    """What comparing arms with test questions found, and what could not be compared."""

    looked_at: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class _Found:
    """The rows of one arm that hold test questions of one benchmark."""

    rows: int = 0
    questions: set[str] = field(default_factory=set)
    similar: int = 0
    first: str = ""


def compare_arms(study: Study, arms: Iterable[ResolvedArm], folder: Path | None = None) -> Compared:
    """Compare the rows of arms with the test questions of the study's own tasks.

    Of a run folder the files that are trained on are read; without one, the arms' sources, as far
    as they are here. Of rows that a model has yet to write, the questions that it will be asked are
    compared. What cannot be compared is named in a note.
    """
    asked = asked_questions(study)
    notes = list(_not_compared(asked))
    absent: dict[str, list[str]] = {}
    dev = _dev_questions(study)
    if not asked.questions and not dev:
        return Compared(notes=tuple(notes))
    index = _Index([*asked.questions, *dev])
    faults: list[Fault] = []
    compared = 0
    sets, _ = question_sets(study, study.name)
    for arm in arms:
        rows, to_come = questions_of(arm, folder), ""
        if rows is None:
            rows, to_come = _to_be_asked(arm, sets), " to be written"
        if rows is None:
            absent.setdefault(_absent(arm), []).append(arm.name)
            continue
        compared += 1
        total, found = index.look_up(rows)
        faults += [
            _fault(arm.name, total, name, one, to_come) for name, one in found.items() if one.rows
        ]
        notes += [_note(arm.name, total, name, one) for name, one in found.items() if one.similar]
    notes += [_absent_note(names, why) for why, names in absent.items()]
    of_sets = Counter(one.benchmark.removeprefix(_DEV) for one in dev)
    against = " and ".join(
        f"the {kind} questions of {', '.join(f'{name} ({n:,})' for name, n in sizes.items())}"
        for kind, sizes in (("test", asked.sizes()), ("development", of_sets))
        if sizes
    )
    looked_at = (f"{counted(compared, 'arm')} against {against}",)
    return Compared(looked_at if compared else (), tuple(faults), tuple(notes))


def asked_questions(study: Study) -> AskedQuestions:
    """Return the questions of a study's tasks, as far as they are prepared."""
    folders = [Path(folder) for folder in study.evaluation.include_path]
    own = {f"{_DEV}{name}" for name, declared in study.questions.items() if declared.dev}
    asked = [task for task in study.evaluation.task_names if task not in own]
    files = tasks_behind(asked, folders)
    stock = [task for task in asked if not tasks_behind([task], folders)]
    questions: dict[tuple[str, str], HeldOut] = {}
    missing: dict[str, None] = {}
    unknown: dict[str, None] = {}
    for task in [*files, *stock]:
        options = file_key(files[task], "dataset_kwargs") if task in files else None
        options = options if isinstance(options, dict) else {}
        name = options.get("benchmark") or _benchmark_of_dataset(task, files.get(task))
        if isinstance(options.get("puzzles"), str):
            name, size = options["puzzles"], int(options.get("rows", 0))
            rows: Iterable[Row] = puzzle_documents(name, size, int(options.get("draw", 0)))
        elif not isinstance(name, str):
            unknown[task] = None
            continue
        elif "test" not in prepared_splits(name):
            missing[name] = None
            continue
        else:
            rows = read_split(name, "test")
        for row in rows:
            whole = with_choices(row["question"], row.get("options"))
            one = HeldOut(name, row["id"], whole, row["gold"])
            questions[name, one.id] = one
    return AskedQuestions(tuple(questions.values()), tuple(missing), tuple(unknown))


def _dev_questions(study: Study) -> list[HeldOut]:
    """Return the development questions of a study that are here, by the set that they are of."""
    sets, _ = question_sets(study, study.name)
    return [
        HeldOut(
            f"{_DEV}{one.name}",
            str(row["id"]),
            with_choices(str(row["question"]), row.get("options")),
            str(row["gold"]),
        )
        for one in sets.values()
        if one.declared.dev and one.is_here
        for row in one.dev
    ]


def _benchmark_of_dataset(task: str, file: Path | None) -> str | None:
    """Return the benchmark that is prepared from the hub dataset of somebody else's task."""
    dataset = upstream_dataset(task) if file is None else file_key(file, "dataset_path")
    for name in benchmark_names() if dataset else ():
        hub = benchmark(name).hub
        if hub is not None and hub.id == dataset:
            return name
    return None


class _Index:
    """Test questions to look rows up in; a question that several arms share is looked up once."""

    def __init__(self, questions: Sequence[HeldOut]) -> None:
        self.index: HeldOutIndex = index_of(questions)
        self.keys = {words_key(one.question): one for one in questions}
        self.words = {one.id: " ".join(spelled(bare(one.question))) for one in questions}
        self.seen: dict[bytes, tuple[bool, HeldOut] | None] = {}

    def look_up(self, rows: Iterable[str]) -> tuple[int, dict[str, _Found]]:
        """Return the number of rows, and what was found of each benchmark."""
        found: dict[str, _Found] = {}
        total = 0
        rows = iter(rows)
        while batch := list(islice(rows, _BATCH)):
            digests = [hashlib.blake2b(text.encode(errors="replace")).digest() for text in batch]
            self._learn(dict(zip(digests, batch, strict=True)))
            for number, digest in enumerate(digests, start=total + 1):
                hit = self.seen[digest]
                if hit is None:
                    continue
                same, question = hit
                entry = found.setdefault(question.benchmark, _Found())
                if same:
                    entry.rows += 1
                    entry.questions.add(question.id)
                    entry.first = entry.first or f"row {number} is {question.id}"
                else:
                    entry.similar += 1
            total += len(batch)
        return total, found

    def _learn(self, texts: Mapping[bytes, str]) -> None:
        new = {digest: text for digest, text in texts.items() if digest not in self.seen}
        if not new:
            return
        digests, questions = list(new), list(new.values())
        for digest, text in new.items():
            known = self.keys.get(words_key(text))
            self.seen[digest] = (True, known) if known else None
        asked = words_of([bare(text) for text in questions])
        hits = overlaps(self.index, questions, asked, words_of([""] * len(questions)))
        for row, owner, rule in zip(hits.row, hits.owner, hits.rule, strict=True):
            before = self.seen[digests[row]]
            question = self.index.questions[owner]
            same = rule == _SAME or (rule in _SIMILAR and self._holds(questions[row], question))
            if before is None and (same or rule in _SIMILAR):
                self.seen[digests[row]] = (same, question)
            elif before is not None and same and not before[0]:
                self.seen[digests[row]] = (True, question)

    def _holds(self, text: str, question: HeldOut) -> bool:
        """Whether a text has all words of a test question in a row."""
        words = self.words[question.id]
        if words.count(" ") + 1 < _FEWEST_WORDS:
            return False
        return f" {words} " in f" {' '.join(spelled(bare(text)))} "


def questions_of(arm: ResolvedArm, folder: Path | None) -> Iterator[str] | None:
    """Return the questions of an arm's rows; None where they are not here, or not in order."""
    if folder is not None:
        if not arm.has_file or not is_current(arm, folder):
            return None
        return (bare_question(row) for row in read_rows(folder / arm.file))
    if not arm.at_hand or not arm.has_file:
        return None
    plain = [part.source for part in arm.parts or (arm,) if part.source]
    found = (asked(trace) for source in plain for trace in source_traces(source, Tally()))
    if not arm.dev.keys:
        return found
    # rows with a development question itself are dropped where the arm is made
    return (text for text in found if words_key(text) not in arm.dev.keys)


def _to_be_asked(arm: ResolvedArm, sets: Mapping[str, QuestionSet]) -> Iterator[str] | None:
    """Return the questions that a model will be asked for an arm's rows, None if not known.

    Development questions are not asked, and a filter may leave test questions out of the rows.
    """
    declared = arm.declared
    if isinstance(declared, TeachArm):
        names = [] if declared.teach.rewrite_of else [declared.teach.questions]
    elif isinstance(declared, SampleArm):
        given = declared.sample.questions
        names = [given] if isinstance(given, str) else list(given)
    else:
        return None
    asked_sets = [sets[name] for name in names if name in sets and sets[name].is_here]
    if not asked_sets or (declared.filter and declared.filter.against):
        return None
    dev = dev_questions(sets).keys
    return (
        str(row["question"]) for one in asked_sets for row in one.rows if record_key(row) not in dev
    )


def _absent(arm: ResolvedArm) -> str:
    return "{} rows are not prepared yet" if arm.has_file else "LLaMA-Factory fetches {} rows"


def _absent_note(arms: Sequence[str], why: str) -> str:
    named = ", ".join(arms[:_NAMED])
    more = f" and {len(arms) - _NAMED} more" if len(arms) > _NAMED else ""
    whose = "its" if len(arms) == 1 else "their"
    return f"arm {named}{more}: {why.format(whose)}; not compared with test questions"


def _not_compared(asked: AskedQuestions) -> Iterator[str]:
    if asked.missing:
        commands = "; ".join(f"cotdistill prepare {name}" for name in asked.missing)
        yield (
            f"not compared with the test questions of {', '.join(asked.missing)}, which are not "
            f"prepared; type: {commands}"
        )
    if asked.unknown:
        yield (
            f"not compared with the test questions of {', '.join(asked.unknown)}: only lm-eval "
            "loads them"
        )


def _fault(arm: str, total: int, benchmark: str, found: _Found, to_come: str) -> Fault:
    if benchmark.startswith(_DEV):
        questions = counted(len(found.questions), "development question")
        wrong = (
            f"{found.rows:,} of {total:,} rows{to_come} ask {questions} of {benchmark} "
            f"({found.first})"
        )
        remedy = "in other words around it: remove them from the source"
        return Fault(f"arm {arm}", wrong, "no question that the study chooses by", remedy)
    questions = counted(len(found.questions), "test question")
    wrong = (
        f"{found.rows:,} of {total:,} rows{to_come} ask {questions} of {benchmark} ({found.first})"
    )
    remedy = f"leave them out: filter: {{against: [{benchmark}]}} in the arm"
    return Fault(f"arm {arm}", wrong, "no question that the study tests with", remedy)


def _note(arm: str, total: int, benchmark: str, found: _Found) -> str:
    if benchmark.startswith(_DEV):
        like = "its stem, its words with other numbers, or most of them"
        of_set = benchmark.removeprefix(_DEV)
        return (
            f"arm {arm}: {found.similar:,} of {total:,} rows are like a development question of "
            f"{of_set} ({like})"
        )
    return (
        f"arm {arm}: {found.similar:,} of {total:,} rows are like a test question of {benchmark} "
        f"(its stem, its words with other numbers, or most of them); cotdistill lint --against "
        f"{benchmark} shows them"
    )
