"""Measure how detailed the rationales of arms are, and whether levels get longer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from cotdistill.benchmarks.choices import words_key
from cotdistill.corpus.granularity_measures import (
    MEASURES,
    Granularity,
    LevelOrder,
    granularity,
    level_orders,
    order_kept_throughout,
)
from cotdistill.corpus.records.import_traces import Refusal, traces_in
from cotdistill.corpus.records.sources import find_sources
from cotdistill.corpus.records.trace import Trace
from cotdistill.errors import DataError, Fault
from cotdistill.files.atomic import write_text, written_whole
from cotdistill.files.inputs import refuse_overwriting
from cotdistill.files.jsonl import row_line

_BATCH = 500


@dataclass(frozen=True)
class GranularityOptions:
    """How to measure, and what to write.

    `by` is the measure by which levels are compared. `rows` gets a line for each trace: arm, id,
    question and its measures; `picture` gets a bar chart of the arms.
    """

    tokenizer: str | None = None
    by: str = "words"
    rows: Path | None = None
    picture: Path | None = None


@dataclass(frozen=True)
class ArmMeasures:
    """One arm: the rows measured, the mean of each measure, and by reason the rows that were not.

    An empty rationale is a reason; any other is a row that could not be read.
    """

    arm: str
    rows: int
    means: dict[str, float]
    not_measured: dict[str, int]

    @property
    def unreadable(self) -> int:
        """How many rows could not be read as traces."""
        return sum(rows for why, rows in self.not_measured.items() if why != "empty_rationale")


@dataclass(frozen=True)
class GranularityReport:
    """All arms in their order, how each compares with the one before, and the order over all."""

    arms: tuple[ArmMeasures, ...]
    orders: tuple[LevelOrder, ...]
    by: str
    shared_questions: int
    kept_throughout: float


def measure_granularity(
    paths: Sequence[Path],
    options: GranularityOptions = GranularityOptions(),  # noqa: B008
) -> GranularityReport:
    """Measure files of traces, taken as levels in the order given.

    Arms are joined by the words of their questions; of several traces of a question the first
    counts.

    Raises:
        DataError: a file is missing, or holds no traces.
        MisuseError: an output is an input.
    """
    outputs = [path for path in (options.rows, options.picture) if path]
    refuse_overwriting(paths, outputs)
    arms: list[ArmMeasures] = []
    lengths: dict[str, dict[str, float]] = {}
    names = [*MEASURES, *(["tokens"] if options.tokenizer else [])]
    with written_whole(options.rows) if options.rows else nullcontext() as stream:
        for path in paths:
            name = path.stem if path.stem not in lengths else str(path)
            lengths[name] = {}
            sums, count = dict.fromkeys(names, 0), 0
            left_out: Counter[str] = Counter()
            for trace, granularity_of_trace in _measured(path, options.tokenizer, left_out):
                count += 1
                measures = {each: getattr(granularity_of_trace, each) for each in names}
                for each, value in measures.items():
                    sums[each] += value
                lengths[name].setdefault(
                    words_key(trace.question, trace.options), measures[options.by]
                )
                if stream:
                    row = {"arm": name, "id": trace.id, "question": trace.question, **measures}
                    stream.write(row_line(row))
            means = {each: value / count for each, value in sums.items()}
            arms.append(ArmMeasures(name, count, means, dict(left_out)))
    shared, kept = order_kept_throughout(lengths)
    orders = tuple(level_orders(lengths))
    report = GranularityReport(tuple(arms), orders, options.by, shared, kept)
    if options.picture:
        write_text(options.picture, picture(report))
    return report


def picture(report: GranularityReport) -> str:
    """Return a small bar chart of the arms' mean lengths as SVG; a level that falls is hatched."""
    top = max((arm.means[report.by] for arm in report.arms), default=1.0) or 1.0
    row, left, width = 22, 250, 360
    height = row * len(report.arms) + 40
    falls = {order.upper for order in report.orders if order.questions and not order.is_longer}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 90}" height="{height}" '
        'font-family="sans-serif" font-size="12" role="img">',
        f"<title>Mean {escape(report.by)} of a rationale, by arm</title>",
        '<defs><pattern id="falls" width="6" height="6" patternUnits="userSpaceOnUse">'
        '<path d="M0 6L6 0" stroke="#b3261e"/></pattern></defs>',
        f'<text x="8" y="18" font-weight="bold">mean {escape(report.by)} of a rationale</text>',
    ]
    for place, arm in enumerate(report.arms):
        y = 32 + place * row
        bar = round(width * arm.means[report.by] / top, 1)
        fill = "url(#falls)" if arm.arm in falls else "#3b6ea5"
        parts += [
            f'<text x="{left - 6}" y="{y + 13}" text-anchor="end">{escape(arm.arm[-38:])}</text>',
            f'<rect x="{left}" y="{y}" width="{bar}" height="{row - 6}" fill="{fill}" '
            'stroke="#3b6ea5"/>',
            f'<text x="{left + bar + 5}" y="{y + 13}">{arm.means[report.by]:.1f}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _measured(
    path: Path, tokenizer: str | None, left_out: Counter[str]
) -> Iterator[tuple[Trace, Granularity]]:
    """Yield the traces of a file with their measures, and count the other rows by reason."""
    batch: list[Trace] = []
    measured, why = 0, ""
    for _, row, _ in traces_in(find_sources([path])[0]):
        if isinstance(row, Refusal):
            left_out[row.rule] += 1
            why = why or f"{row.place}: {row.why}"
        elif not row.rationale.strip():
            left_out["empty_rationale"] += 1
            why = why or "its rationales are empty"
        else:
            measured += 1
            batch.append(row)
        if len(batch) == _BATCH:
            yield from _measured_together(batch, tokenizer)
            batch = []
    yield from _measured_together(batch, tokenizer)
    if not measured:
        raise DataError(Fault(str(path), "no trace in it", "rows with rationales", why))


def _measured_together(
    traces: Sequence[Trace], tokenizer: str | None
) -> Iterator[tuple[Trace, Granularity]]:
    if not tokenizer:
        for trace in traces:
            yield trace, granularity(trace.rationale)
        return
    from cotdistill.hosts.tokenizer import token_counts

    counts = token_counts(tokenizer, [trace.rationale for trace in traces])
    for trace, count in zip(traces, counts, strict=True):
        yield trace, granularity(trace.rationale, count)
