"""Sources, filters and a mix become one training file with one ledger: an arm of a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cotdistill.corpus.filtering.filter import FilterOptions, filter_traces
from cotdistill.corpus.filtering.settings import Filters
from cotdistill.corpus.filtering.survey import Progress
from cotdistill.corpus.mixing.mix import Format, index, mix
from cotdistill.corpus.mixing.settings import Mixing
from cotdistill.errors import DataError, Fault
from cotdistill.files.ledger import Ledger, LedgerFile, ledger_path, write_ledger


def build_training_set(
    sources: Mapping[str, Path],
    out: Path,
    *,
    filters: Filters | None = None,
    mixing: Mixing | None = None,
    form: Format = "alpaca",
    skip_bad: bool = False,
    workers: int = 1,
    progress: Progress = lambda _: None,
) -> Ledger:
    """Write the training file of an arm, and its ledger last; return the ledger.

    Sources of any known shape are filtered together, so that pairs and duplicates are seen across
    them (without `filters` nothing is dropped but rows that are no traces), then mixed. Without a
    `mixing` every kept row is used, in a seeded order. Filtered sources stay beside, in
    `<out>.kept/`, with their rejected rows and the ledger of the filter.

    Raises:
        DataError: a source is missing or broken, or the mix cannot be met.
        MisuseError: the filters name what there is not.
    """
    folder = out.with_name(f"{out.stem}.kept")
    paths = list(sources.values())
    options = FilterOptions(skip_bad=skip_bad, split=True, workers=workers)
    filtered = filter_traces(paths, filters or _nothing(), folder / "kept.jsonl", options, progress)
    kept = filtered.outputs[:-1]
    if len(kept) != len(sources):
        raise DataError(
            Fault(
                ", ".join(map(str, paths)),
                f"{len(sources)} sources read as {len(kept)} data sets",
                "one data set a file",
                "bring it to traces first and name one: cotdistill import-traces",
            )
        )
    files = {name: folder / output.file for name, output in zip(sources, kept, strict=True)}
    ledger_path(out).unlink(missing_ok=True)  # a file without a ledger is not a finished file
    mixed = mix(files, mixing or _everything(files), out, form=form)
    ledger = replace(
        mixed,
        made_by="filter and mix",
        inputs=tuple(
            LedgerFile(name, told.rows, told.sha256)
            for name, told in zip(sources, filtered.inputs, strict=True)
        ),
        counts={**filtered.counts, **_mix_counts(filtered, mixed)},
        settings={
            "filters": filters.model_dump(mode="json") if filters else None,
            "mix": mixing.model_dump(mode="json") if mixing else None,
            "format": form,
        },
        notes={**mixed.notes, "filter": filtered.notes},
    )
    write_ledger(out, ledger)
    return ledger


def _nothing() -> Filters:
    return Filters(grade="off", duplicates=(), drop=("missing_column",))


def _everything(files: Mapping[str, Path]) -> Mixing:
    sizes = {name: len(index(path, deep=False).starts) for name, path in files.items()}
    return Mixing(
        weights={name: float(size) for name, size in sizes.items()}, rows=sum(sizes.values())
    )


def _mix_counts(filtered: Ledger, mixed: Ledger) -> dict[str, Any]:
    """Return the rows used, and those that were kept by the filter and not drawn by the mix."""
    used = mixed.counts["kept"]
    return {"kept": used, "not_drawn": max(filtered.counts["kept"] - used, 0)}
