"""Mix trace files into one training set, exactly as `mixture` draws it, with a ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cotdistill.corpus.filtering.scan import traced
from cotdistill.corpus.mixing.index import Index, LineReader, index, traces_at
from cotdistill.corpus.mixing.mixture import (
    Draw,
    interleaved,
    length_matched_mixture,
    matched_mixture,
    mixture,
    mixture_of_tokens,
)
from cotdistill.corpus.mixing.settings import Mixing
from cotdistill.corpus.records.parquet import write_parquet_copy
from cotdistill.corpus.records.trace import (
    Trace,
    alpaca_row,
    messages_row,
    micota_row,
    sharegpt_row,
    target,
)
from cotdistill.corpus.records.trace_row import trace_row
from cotdistill.files.atomic import written_bytes
from cotdistill.files.inputs import InputFiles, refuse_overwriting
from cotdistill.files.jsonl import row_line
from cotdistill.files.ledger import Ledger, LedgerFile, ledger_path, write_ledger
from cotdistill.files.parquet import parquet_copy, require_parquet

Format = Literal["alpaca", "sharegpt", "messages", "micota", "traces"]
WRITERS: Mapping[Format, Callable[[Trace], dict[str, Any]]] = {
    "alpaca": alpaca_row,
    "sharegpt": sharegpt_row,
    "messages": messages_row,
    "micota": micota_row,
    "traces": trace_row,
}
_SYSTEM_COLUMN = ("alpaca", "sharegpt")


@dataclass(frozen=True)
class DrawnMix:
    """A mix before it is written: where its sources' rows lie, and which of them are drawn."""

    indexes: Mapping[str, Index]
    drawn: Draw
    seed: int

    @property
    def not_drawn(self) -> int:
        """How many rows of the sources the mix leaves out."""
        rows = sum(len(each.starts) for each in self.indexes.values())
        return rows - sum(len(set(rows)) for rows in self.drawn.values())

    @property
    def rows_of_source(self) -> dict[str, int]:
        """How many rows are drawn from each source."""
        return {name: len(rows) for name, rows in self.drawn.items()}

    def traces(self) -> Iterator[tuple[str, Trace]]:
        """Yield the drawn traces in their final order, each with its source.

        Raises:
            DataError: a row is no trace.
        """
        return traces_at(self.indexes, interleaved(self.drawn, self.seed))


def draw_mix(
    sources: Mapping[str, Path],
    mixing: Mixing,
    *,
    tokenizer: str | None = None,
    read: LineReader = traced,
) -> DrawnMix:
    """Index the sources and draw the mix; `read` makes a trace of a line of other rows.

    Raises:
        DataError: a source is missing, empty, has no weight or a broken row, or has too few rows;
            the message says the most that can be had.
    """
    deep = mixing.matched or mixing.length_matched or mixing.tokens is not None
    indexes = {
        name: index(path, deep=deep, tokenizer=tokenizer, read=read)
        for name, path in sources.items()
    }
    return DrawnMix(indexes, _draw(indexes, mixing), mixing.seed)


def mix(
    sources: Mapping[str, Path],
    mixing: Mixing,
    out: Path,
    *,
    form: Format = "alpaca",
    tokenizer: str | None = None,
    parquet: bool = False,
) -> Ledger:
    """Write a mix of trace files to `out` and its ledger next to it; return the ledger.

    With `parquet` the same rows are written to `<out>.parquet` too.

    Lengths, where they matter, are tokens of `tokenizer`, else what provenance says, else words.

    Raises:
        DataError: a source is missing, has no weight or a broken row, or has too few rows; the
            message says the most that can be had.
    """
    if parquet:
        require_parquet(str(out))
    outputs = [out, ledger_path(out), *([parquet_copy(out)] if parquet else [])]
    refuse_overwriting(sources.values(), outputs)
    inputs = InputFiles.of(sources.values())
    drawn = draw_mix(sources, mixing, tokenizer=tokenizer)
    # a loader of the file wants the same columns in all rows
    systems = form in _SYSTEM_COLUMN and any(each.systems for each in drawn.indexes.values())
    ledger_path(out).unlink(missing_ok=True)  # a file without a ledger is not a finished file
    characters = dict.fromkeys(sources, 0)
    with written_bytes(out) as stream:
        for name, trace in drawn.traces():
            characters[name] += len(target(trace))
            row = WRITERS[form](trace)
            if systems:
                row.setdefault("system", "")
            stream.write(row_line(row).encode())
    count = sum(drawn.rows_of_source.values())
    copies = [write_parquet_copy(out)] if parquet else []
    ledger = Ledger(
        "mix",
        inputs=tuple(
            LedgerFile(each.path.name, len(each.starts), inputs.sha256(each.path))
            for each in drawn.indexes.values()
        ),
        outputs=(LedgerFile.of(out, count, name=out.name), *copies),
        counts={"kept": count},
        settings={**mixing.model_dump(mode="json"), "format": form, "tokenizer": tokenizer},
        seed=mixing.seed,
        notes={
            "rows_of_source": drawn.rows_of_source,
            "characters_of_source": characters,
        },
    )
    inputs.refuse_changes()
    write_ledger(out, ledger)
    return ledger


def _draw(indexes: Mapping[str, Index], mixing: Mixing) -> Draw:
    """Return the row numbers of each source that the mix takes.

    Raises:
        DataError: the mix cannot be met.
    """
    sizes = {name: len(each.starts) for name, each in indexes.items()}
    if mixing.tokens is not None:
        lengths = {name: each.tokens for name, each in indexes.items()}
        return mixture_of_tokens(lengths, mixing.weights, mixing.tokens, mixing.seed)
    if mixing.matched:
        keys = {name: each.questions for name, each in indexes.items()}
        rows = mixing.rows or len(set.intersection(*(set(each) for each in keys.values())))
        return matched_mixture(keys, mixing.weights, rows, mixing.seed)
    used = [name for name in sizes if mixing.weights.get(name)]
    rows = mixing.rows or min((sizes[name] for name in used), default=0)
    if mixing.length_matched:
        lengths = {name: each.tokens for name, each in indexes.items()}
        return length_matched_mixture(lengths, mixing.weights, rows, mixing.seed)
    return mixture(sizes, mixing.weights, rows, mixing.seed, replace=mixing.replace)
