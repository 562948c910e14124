"""What a round is trained on: its correct samples, capped and balanced, and earlier rows if asked.

Every row says which round it came from, which sample it was and which weights wrote it. A round of
which nothing is kept ends the loop, with the model of the round before.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cotdistill.arms.rows import COLUMNS, bare_question
from cotdistill.benchmarks.choices import words_key
from cotdistill.benchmarks.instruction import frame_of
from cotdistill.corpus.records.trace import Trace, asked, form_of, training_row
from cotdistill.corpus.records.trace_row import trace_of
from cotdistill.errors import DataError, Fault
from cotdistill.files.atomic import sha256_of
from cotdistill.files.json_file import read_object
from cotdistill.files.jsonl import read_rows, write_rows
from cotdistill.files.ledger import Ledger, LedgerFile, write_ledger
from cotdistill.grading.arithmetic.soundness import step_soundness
from cotdistill.improve.difficulty import bins_by_samples, bins_by_value
from cotdistill.improve.loop import LoopRun, loop_run
from cotdistill.improve.sampled import (
    LEDGER,
    TRACES,
    Sampled,
    count_samples,
    sample_rows,
    trace_rows,
)
from cotdistill.improve.weights import model_identity, short_name
from cotdistill.runfolder.round_paths import rows_of, samples_of
from cotdistill.runfolder.round_records import Bin, RoundData, write_data
from cotdistill.runfolder.rounds import asked_as
from cotdistill.runfolder.skipping import EVERY
from cotdistill.studies.question_sets import dev_questions, question_sets
from cotdistill.teach.sampling import normal

Row = dict[str, Any]
BARE = "question"


@dataclass
class _Tally:
    """Rows that were left out, by reason, and what is measured of the new rows."""

    dropped: Counter[str] = field(default_factory=Counter)
    of_question: Counter[str] = field(default_factory=Counter)
    words: list[int] = field(default_factory=list)
    unsound: int = 0
    stated: int = 0


def keep_rows(folder: Path, name: str) -> RoundData:
    """Write the training rows of a round with their ledger, and return what was sampled and kept.

    Raises:
        DataError: questions have no difficulty though the loop names its key, or a file is broken.
    """
    at = loop_run(folder, name)
    samples = folder / samples_of(name)
    found = count_samples(samples)
    bins = _bins(at, found)
    model = _sampled_model(at, samples)
    tally = _Tally()
    new = list(_new_rows(at, samples, short_name(model), tally))
    if at.loop.keep.balance and bins:
        new = _balanced(new, bins, tally)
    rows = [*new, *_earlier(at, new, tally)]
    out = folder / rows_of(name)
    out.parent.mkdir(parents=True, exist_ok=True)
    for row in new:
        _measure(row, tally)
    counts = Counter(str(row["from"]) for row in rows)
    data = RoundData(
        round=at.round,
        model=model,
        questions=len(found.right),
        samples=found.samples,
        coverage=found.coverage,
        correct=found.histogram,
        bins=tuple(_bin_counts(bins, found, new)),
        rows=dict(counts),
        dropped=dict(sorted(tally.dropped.items())),
        distinct=found.distinct,
        words=statistics.median(tally.words) if tally.words else None,
        truncated=found.truncated,
        unsound=tally.unsound / tally.stated if tally.stated else None,
        tokens=_tokens(samples),
        skip={} if new else {EVERY: _nothing(at, found, tally)},
    )
    write_rows(out, (_trained(row) for row in rows))
    write_ledger(
        out,
        Ledger(
            made_by="improve",
            inputs=(LedgerFile.of(samples / TRACES, len(new) + sum(tally.dropped.values())),),
            outputs=(LedgerFile(out.name, len(rows), sha256_of(out)),),
            counts={**counts, **data.dropped},
            settings=at.loop.keep.model_dump(mode="json"),
            notes={"round": at.round, "model": model},
        ),
    )
    write_data(folder, name, data)
    return data


def _nothing(at: LoopRun, found: Sampled, tally: _Tally) -> str:
    counts = "".join(f", {count} {why}" for why, count in sorted(tally.dropped.items()))
    right = f"{found.correct} of {found.samples} samples are correct{counts}"
    kept = f"the model of round {at.round - 1} is kept"
    return f"the filter of round {at.round} kept nothing ({right}); {kept}"


def _sampled_model(at: LoopRun, samples: Path) -> dict[str, Any]:
    """Return what identifies the model that was sampled."""
    settings = read_object(samples / LEDGER, "a ledger", "sample again")["settings"]
    return model_identity(at.folder, str(settings["model"]))


def _tokens(samples: Path) -> int:
    ledger = read_object(samples / LEDGER, "a ledger", "sample again")
    return sum(int(one["tokens"]) for one in ledger.get("rounds", ()))


def _bins(at: LoopRun, found: Sampled) -> dict[str, list[str]]:
    """Return the sampled questions by difficulty, none where nothing tells it."""
    key = at.loop.difficulty
    if key is None:
        first = at.folder / samples_of(at.name(1))
        return bins_by_samples(sample_rows(first))
    sets, _ = question_sets(at.study, at.place)
    asked = at.loop.sample.questions
    values: dict[str, Any] = {}
    for name in [asked] if isinstance(asked, str) else asked:
        for row in sets[name].rows:
            value = (row.get("meta") or {}).get(key)
            if value is not None:
                values[str(row["id"])] = value
    missing = [question for question in found.right if question not in values]
    if missing:
        wrong = f"{len(missing)} sampled questions have no '{key}' in their meta"
        raise DataError(Fault(at.place, f"{wrong}, {missing[0]} first", "", "see difficulty:"))
    return bins_by_value({question: values[question] for question in found.right})


def _new_rows(at: LoopRun, samples: Path, model: str, tally: _Tally) -> Iterator[Row]:
    """Yield the rows of the round's own samples, each question's first ones up to the cap."""
    sets, _ = question_sets(at.study, at.place)
    held_out = dev_questions(sets).keys
    cap = at.loop.keep.per_question
    frame = replace(frame_of(asked_as(at.study, at.loop)), choices=at.study.prompt.choices)
    seen: set[tuple[str, str]] = set()
    for line in trace_rows(samples):
        trace = trace_of(line)
        question = words_key(trace.question, trace.options)
        mark = (question, normal(trace.rationale))
        if question in held_out:
            tally.dropped["development_question"] += 1
        elif mark in seen:
            tally.dropped["duplicate"] += 1
        elif cap is not None and tally.of_question[question] >= cap:
            tally.dropped["over_per_question"] += 1
        else:
            seen.add(mark)
            tally.of_question[question] += 1
            prompt = frame.asked(trace.question, trace.options, form_of(trace))
            yield _row(trace, prompt, at.round, model)


def _row(trace: Trace, prompt: str, number: int, model: str) -> Row:
    plain = training_row(replace(trace, answer=None))  # the text as it was sampled
    return {
        **plain,
        COLUMNS["prompt"]: prompt,
        BARE: asked(trace),
        "question_id": _question_of(trace.id),
        "round": number,
        "sample": trace.id,
        "model": model,
        "from": "new",
    }


def _question_of(sample: str) -> str:
    """Return the id of a sample's question.

    >>> _question_of("svamp-12-round0-3")
    'svamp-12'
    """
    return sample.rpartition("-round")[0]


def _balanced(rows: list[Row], bins: Mapping[str, list[str]], tally: _Tally) -> list[Row]:
    """Return equally many rows of each difficulty: as many as the scarcest has, if it has any.

    They are taken in turns over the questions, so that many questions keep some.
    """
    bin_of = {question: name for name, questions in bins.items() for question in questions}
    turn: Counter[str] = Counter()
    waiting: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for place, row in enumerate(rows):
        question = row["question_id"]
        waiting[bin_of[question]].append((turn[question], place))
        turn[question] += 1
    most = min(map(len, waiting.values()), default=0)
    kept = {place for places in waiting.values() for _, place in sorted(places)[:most]}
    tally.dropped["unbalanced"] += len(rows) - len(kept)
    return [row for place, row in enumerate(rows) if place in kept]


def _earlier(at: LoopRun, new: list[Row], tally: _Tally) -> Iterator[Row]:
    """Yield the rows of earlier rounds, or of the arm that the loop started from, if asked for."""
    if not new or at.loop.keep.data == "none":
        return
    if at.loop.keep.data == "original":
        path = at.folder / "data" / f"{at.loop.start}.jsonl"
        for number, row in enumerate(read_rows(path), start=1):
            lineage = {"round": 0, "sample": f"{path.name}:{number}", "model": ""}
            yield {**row, **lineage, "from": "original"}
        return
    seen = {(bare_question(row), normal(row["output"])) for row in new}
    for number in range(at.round - 1, 0, -1):
        for row in read_rows(at.folder / rows_of(at.name(number))):
            mark = (bare_question(row), normal(row["output"]))
            if row["from"] != "new":
                continue
            if mark in seen:
                tally.dropped["duplicate_of_later_round"] += 1
                continue
            seen.add(mark)
            yield {**row, "from": "previous"}


def _trained(row: Row) -> Row:
    """Return a row as it is written: with the bare question only where it is asked otherwise."""
    return {k: v for k, v in row.items() if k != BARE or v != row[COLUMNS["prompt"]]}


def _measure(row: Row, tally: _Tally) -> None:
    text = str(row[COLUMNS["response"]])
    tally.words.append(len(text.split()))
    sound = step_soundness(text)
    tally.stated += bool(sound.stated)
    tally.unsound += bool(sound.false)


def _bin_counts(bins: Mapping[str, list[str]], found: Sampled, new: list[Row]) -> Iterator[Bin]:
    rows = Counter(row["question_id"] for row in new)
    for name, questions in bins.items():
        there = [question for question in questions if question in found.right]
        covered = sum(bool(found.right[question]) for question in there)
        counts = Counter(found.right[question] for question in there)
        yield Bin(
            name,
            len(there),
            covered / len(there) if there else 0.0,
            sum(rows[question] for question in there),
            {str(number): counts[number] for number in sorted(counts)},
        )
