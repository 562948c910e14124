"""Measure how finely the rationales of arms are worked out, and whether levels keep order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from cotdistill.benchmarks.question import question_key
from cotdistill.corpus.granularity_measures import (
    MEASURES,
    Granularity,
    LevelOrder,
    granularity,
    level_orders,
    order_kept_throughout,
)
from cotdistill.corpus.records.import_traces import traces_in
from cotdistill.corpus.records.sources import find_sources
from cotdistill.corpus.records.trace import Trace
from cotdistill.errors import DataError, Fault
from cotdistill.files.atomic import write_text, written_whole
from cotdistill.files.jsonl import row_line

_BATCH = 500


@dataclass(frozen=True)
class ArmMeasures:
    """One arm: its rows and the mean of each measure."""

    arm: str
    rows: int
    means: dict[str, float]


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
    *,
    tokenizer: str | None = None,
    by: str = "words",
    rows: Path | None = None,
) -> GranularityReport:
    """Measure files of traces, taken as levels in the order given.

    Arms are joined by the words of their questions; of several traces of a question the first
    counts. `by` is the measure whose order is looked at. `rows` names a file that gets a line for
    each trace: arm, id, question and its measures.

    Raises:
        DataError: a file is missing, or holds no traces.
    """
    arms: list[ArmMeasures] = []
    lengths: dict[str, dict[str, float]] = {}
    names = [*MEASURES, *(["tokens"] if tokenizer else [])]
    with written_whole(rows) if rows else nullcontext() as stream:
        for path in paths:
            name = path.stem if path.stem not in lengths else str(path)
            lengths[name] = {}
            sums, count = dict.fromkeys(names, 0), 0
            for trace, one in _measured(path, tokenizer):
                count += 1
                measures = {each: getattr(one, each) for each in names}
                for each, value in measures.items():
                    sums[each] += value
                lengths[name].setdefault(question_key(trace.question, "words"), measures[by])
                if stream:
                    told = {"arm": name, "id": trace.id, "question": trace.question, **measures}
                    stream.write(row_line(told))
            if not count:
                raise DataError(Fault(str(path), "no trace in it", "rows with rationales"))
            means = {each: value / count for each, value in sums.items()}
            arms.append(ArmMeasures(name, count, means))
    shared, kept = order_kept_throughout(lengths)
    return GranularityReport(tuple(arms), tuple(level_orders(lengths)), by, shared, kept)


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


def write_picture(path: Path, report: GranularityReport) -> None:
    """Write the picture of a report."""
    write_text(path, picture(report))


def _measured(path: Path, tokenizer: str | None) -> Iterator[tuple[Trace, Granularity]]:
    waiting: list[Trace] = []
    for _, found, _ in traces_in(find_sources([path])[0]):
        if isinstance(found, Trace) and found.rationale.strip():
            waiting.append(found)
        if len(waiting) == _BATCH:
            yield from _measured_together(waiting, tokenizer)
            waiting = []
    yield from _measured_together(waiting, tokenizer)


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
