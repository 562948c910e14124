"""The rows of arms that are made from others: filtered, paired, mixed.

A mix reads its sources from files, by the place of each row, so that its memory does not grow with
what the rows say. Sources that are not arms of the study, or that LLaMA-Factory would fetch itself,
are written beside the arms first.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from cotdistill.arms.rows import (
    Tally,
    filter_of,
    plain_rows,
    source_of,
    sources_of,
    trace_pair,
)
from cotdistill.benchmarks.question import without_label
from cotdistill.corpus.filtering.filter import FilterOptions, filter_traces
from cotdistill.corpus.filtering.lint import LintOptions, lint, report_json
from cotdistill.corpus.filtering.settings import Filters
from cotdistill.corpus.mixing.mix import Index, draw
from cotdistill.corpus.mixing.mixture import interleaved
from cotdistill.corpus.text.words import text_keys, words_of
from cotdistill.errors import DataError, Fault
from cotdistill.files.atomic import write_text
from cotdistill.files.jsonl import Row, read_rows, write_rows
from cotdistill.files.ledger import Ledger, read_ledger
from cotdistill.studies.arm import ArmFilters, MixedArm
from cotdistill.studies.study import Study

_BATCH = 500


def filtered_rows(study: Study, name: str, folder: Path, tally: Tally) -> Iterator[Row]:
    """Yield the rows of an arm that its filter keeps; the others are written beside with reasons.

    The tally gets the arm's own rows by reason, and the rows of every file that was read. What
    `lint` still finds among the kept rows is written to `data/<arm>.lint.json`.

    Raises:
        DataError: a source is missing or broken, or no row is kept.
    """
    filters = filter_of(study, name)
    assert filters is not None
    names = [name, *filters.paired_with]
    paths = [_source_file(study, source, folder) for source in names]
    out = folder / "data" / "filtered" / f"{name}.jsonl"
    settings = filters.model_dump(exclude=set(ArmFilters.model_fields) - set(Filters.model_fields))
    asked = Filters.model_validate({**settings, "paired": bool(filters.paired_with)})
    options = FilterOptions(
        golds=tuple(Path(path) for path in filters.golds),
        split=len(paths) > 1,
        workers=os.cpu_count() or 1,
    )
    ledger = filter_traces(paths, asked, out, options)
    kept = out.with_name(ledger.outputs[0].file)
    if not ledger.outputs[0].rows:
        counts = ", ".join(f"{count} {reason}" for reason, count in ledger.counts.items())
        raise DataError(Fault(f"arm {name}", f"no row passes its filter ({counts})"))
    _tell(ledger, dict(zip(names, paths, strict=True)), tally)
    found = lint([kept], LintOptions(tuple(filters.against), workers=os.cpu_count() or 1))
    write_text(folder / "data" / f"{name}.lint.json", report_json(found))
    for number, row in enumerate(read_rows(kept), start=1):
        pair, wrong = trace_pair(row)
        if wrong:
            raise DataError(Fault(f"{kept}: row {number}", wrong))
        yield pair


def _tell(ledger: Ledger, read: Mapping[str, Path], tally: Tally) -> None:
    for name, path in read.items():
        tally.read[name] = next(each.rows for each in ledger.inputs if each.file == path.as_posix())
    notes = dict(ledger.notes)
    own = notes.pop("counts_of_inputs")[0]  # the first is the arm's, the others it is paired with
    tally.dropped.update({reason: rows for reason, rows in own.items() if rows})
    del tally.dropped["kept"]
    tally.notes["filter"] = notes


def mixed_rows(
    study: Study, arm: MixedArm, folder: Path, tally: Tally, write_arm: Callable[[str], Path]
) -> Iterator[Row]:
    """Yield the rows of a mix in their final order; `write_arm` makes a source's file of rows.

    The tally gets what the sources' ledgers say, and the rows that were not drawn.

    Raises:
        DataError: a source is missing or broken, or the mix asks for more than there is.
    """
    mixing = arm.mixing()
    deep = mixing.matched or mixing.length_matched or mixing.tokens is not None
    indexes = {}
    for name in arm.mix:
        if name in study.arms:
            path = write_arm(name)
            _tell_of_source(study, name, read_ledger(path), tally)
        else:
            path = _hub_file(study, name, folder, tally)
        indexes[name] = _index(path, deep)
    drawn = draw(indexes, mixing)
    tally.notes["rows_of_source"] = {name: len(rows) for name, rows in drawn.items()}
    there = sum(len(index.starts) for index in indexes.values())
    used = sum(len(set(rows)) for rows in drawn.values())
    if there > used:
        tally.dropped["not_drawn"] = there - used
    order = interleaved(drawn, mixing.seed)
    streams = {name: index.path.open("rb") for name, index in indexes.items()}
    try:
        for name, row in order:
            streams[name].seek(indexes[name].starts[row])
            yield json.loads(streams[name].read(indexes[name].lengths[row]))
    finally:
        for stream in streams.values():
            stream.close()


def _tell_of_source(study: Study, name: str, ledger: Ledger, tally: Tally) -> None:
    files = [source for source in sources_of(study, name) if source.path is not None]
    for source, told in zip(files, ledger.inputs, strict=False):  # golds stand behind them
        tally.read[source.name] = told.rows
    tally.dropped.update({why: rows for why, rows in ledger.counts.items() if why != "kept"})


def _hub_file(study: Study, name: str, folder: Path, tally: Tally) -> Path:
    """Write the rows of a registered dataset that is no arm of the study."""
    path = folder / "data" / "sources" / f"{name}.jsonl"
    write_rows(path, plain_rows(study, name, tally))
    return path


def _source_file(study: Study, name: str, folder: Path) -> Path:
    """Return a file that the filter can read: the arm's own, or its rows brought to one shape."""
    source = source_of(study, name)
    if source.path is not None:
        return source.path
    path = folder / "data" / "sources" / f"{name}.jsonl"
    write_rows(path, plain_rows(study, name))
    return path


def _index(path: Path, deep: bool) -> Index:
    """Note where each row of a file of training rows lies; going deep also question and words."""
    found = Index(path, array("q"), array("q"), array("Q"), array("q"))
    waiting: list[Row] = []
    start = 0
    with path.open("rb") as stream:
        for line in stream:
            found.starts.append(start)
            found.lengths.append(len(line))
            start += len(line)
            if deep:
                waiting.append(json.loads(line))
            if len(waiting) == _BATCH:
                _measure(waiting, found)
                waiting = []
    _measure(waiting, found)
    return found


def _measure(rows: list[Row], found: Index) -> None:
    if rows:
        questions = [without_label(row["instruction"]) for row in rows]
        found.questions.extend(text_keys(words_of(questions)).tolist())
        found.tokens.extend(words_of([row["output"] for row in rows]).counts.tolist())
