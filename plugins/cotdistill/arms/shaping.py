"""The last step of an arm's texts: how they end (`target:`), and filler that makes them longer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from cotdistill.arms.rows import Tally, bare_question
from cotdistill.benchmarks.choices import words_key
from cotdistill.corpus.records.shape import RefusedRowError
from cotdistill.corpus.records.target import concludes_otherwise, with_target
from cotdistill.corpus.records.trace import Trace, target
from cotdistill.corpus.text.padding import padded
from cotdistill.errors import DataError, Fault
from cotdistill.files.jsonl import read_rows
from cotdistill.studies.arm import Padding
from cotdistill.studies.resolved_arm import ResolvedArm

_FAULTS_SHOWN = 5
_BATCH = 512
_Item = TypeVar("_Item")


def with_targets(arm: ResolvedArm, traces: Iterable[Trace], tally: Tally) -> Iterator[Trace]:
    """Yield traces whose rationale is the whole text that is trained on, as the arm's target says.

    Counts in the tally the rows whose own conclusion is not the reference answer that is put there.

    Raises:
        DataError: rows have no answer to be put there; with `missing: drop` they are counted.
    """
    faults: list[Fault] = []
    refused = otherwise = 0
    drops = arm.source is not None and arm.source.drop_missing
    for trace in traces:
        try:
            formed = with_target(trace, arm.target)
        except RefusedRowError as error:
            if drops:
                tally.dropped[error.why] += 1
                continue
            refused += 1
            if len(faults) < _FAULTS_SHOWN:
                shown = f"arm {arm.name}: {trace.question[:60]!r}"
                faults.append(Fault(shown, error.why, "", "or say 'missing: drop' in the arm"))
            continue
        otherwise += arm.target.answer == "gold" and concludes_otherwise(trace)
        yield formed
    if refused > len(faults):
        faults.append(Fault(f"arm {arm.name}", f"{refused} rows in all have no answer"))
    if faults:
        raise DataError(faults)
    if otherwise:
        tally.notes["concludes_otherwise"] = otherwise


def with_padding(
    arm: ResolvedArm, traces: Iterable[Trace], like: Path, tally: Tally
) -> Iterator[Trace]:
    """Yield traces with filler before their conclusions, as long as the rows of another arm's file.

    Of several rows of one question the first is made as long as the first, and so on; a question
    that the other arm lacks is dropped and counted, and rows that are long enough stay.
    """
    from cotdistill.corpus.text.answer_span import conclusion_start

    pad = arm.pad
    assert pad is not None
    lengths: dict[str, list[int]] = {}
    for rows in _batches(read_rows(like)):
        counts = _lengths([str(row["output"]) for row in rows], pad)
        for row, count in zip(rows, counts, strict=True):
            lengths.setdefault(words_key(bare_question(row)), []).append(count)
    seen: Counter[str] = Counter()
    counted = {"padded": 0, "long_enough": 0}
    each = _lengths([f" {pad.filler}" * 100], pad)[0] / 100
    for batch in _batches(traces):
        texts = [target(trace) for trace in batch]
        for trace, text, length in zip(batch, texts, _lengths(texts, pad), strict=True):
            key = words_key(trace.question, trace.options)
            wanted = lengths.get(key)
            if wanted is None:
                tally.dropped[f"not_in_{pad.like}"] += 1
                continue
            missing = wanted[min(seen[key], len(wanted) - 1)] - length
            seen[key] += 1
            times = max(0, round(missing / each))
            counted["padded" if times else "long_enough"] += 1
            at = conclusion_start(text, trace.kind, trace.options)
            yield replace(trace, rationale=padded(text, at, pad.filler, times), answer=None)
    tally.notes["padding"] = counted


def _lengths(texts: list[str], pad: Padding) -> list[int]:
    if pad.tokenizer:
        from cotdistill.hosts.tokenizer import token_counts

        return token_counts(pad.tokenizer, texts)
    return [len(text.split()) for text in texts]


def _batches(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    batch: list[_Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
