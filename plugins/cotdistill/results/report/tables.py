"""The report's tables: runs and comparisons, for a terminal, a spreadsheet and a text."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from itertools import combinations
from typing import Any

from cotdistill.results.arm_comparisons import difference_table
from cotdistill.results.collect import Results, RunResult, Score
from cotdistill.results.matrix import Matrix
from cotdistill.results.run_settings import settings_warnings
from cotdistill.tables import Table, escaped_markdown


def score_table(results: Results, scores: Matrix) -> Table:
    """Return a row for every run × task; columns that say the same in every row are left out."""
    of_runs = list(results.rows())
    names = ["student", "arm", "recipe", "seed"]
    varying = [n for n in names if n == "arm" or len({getattr(run, n) for run, _ in of_runs}) > 1]
    columns = (*varying, "task", "score %", "95 % interval", "questions", "length", "cut off %")
    columns += ("train tokens", "train s", "eval s", "last loss")
    rows = tuple(
        (*(str(getattr(run, name)) for name in varying), *_cells(run, score))
        for run, score in sorted(of_runs, key=lambda pair: pair[1].task)
    )
    keep = [place for place, _ in enumerate(columns) if any(row[place] != "" for row in rows)]
    return Table(
        tuple(columns[place] for place in keep),
        tuple(tuple(row[place] for place in keep) for row in rows),
        (
            *_verdicts(results),
            *results.notes,
            *_separations(results, scores),
            *scores.notes,
            *settings_warnings(results.settings),
        ),
    )


def comparison_table(scores: Matrix) -> Table:
    """Return a row for every arm compared with the baseline, on each task and in the mean."""
    found = scores.differences
    notes = [f"{one.task}: {one.second}: {note}" for one in found for note in one.cautions]
    for (student, _, task), stratum in scores.strata.items():
        if stratum.left_out:
            arms = ", ".join(stratum.left_out)
            notes.append(f"{task}: {student}: under 5 % or over 95 %, so not in the run sd: {arms}")
    if len(found) > 1:
        family = "the means together, the tasks together" if scores.mean_is_primary else "all"
        notes.append(f"p Holm and p BH: adjusted over {family} of these {len(found)} comparisons")
    return difference_table(found, notes)


def comparisons_title(scores: Matrix) -> str:
    """Return what the table of comparisons is called."""
    return f"Compared with {scores.baseline}"


def as_csv(results: Results) -> str:
    """Return the rows of `result_rows` as CSV."""
    rows = result_rows(results)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: csv_cell(value) for name, value in row.items()} for row in rows)
    return stream.getvalue()


def result_rows(results: Results) -> list[dict[str, Any]]:
    """Return every number unrounded, one row a run × task, unfinished runs with their state."""
    rows: list[dict[str, Any]] = []
    for run in results.runs:
        verdicts = {"verdicts": results.source}
        rows += [_who(run) | _reached(score) | verdicts | _spent(run) for score in run.scores]
        rows += [] if run.scores else [_who(run) | _spent(run)]
    return rows


def _who(run: RunResult) -> dict[str, Any]:
    named = {name: getattr(run, name) for name in ("run", "student", "arm", "recipe", "seed")}
    return named | {"state": run.state.partition(":")[0]}


def _reached(score: Score) -> dict[str, Any]:
    return {
        "task": score.task,
        "metric": score.metric,
        "score": score.score.value,
        "low": score.score.low,
        "high": score.score.high,
        "questions": score.questions,
        "repeats": score.repeats,
        "response_tokens": score.tokens,
        "response_characters": score.characters,
        "cut_off": score.cut_off,
        "evaluate_seconds": score.evaluate_seconds,
        **_measured_with(score),
    }


def _measured_with(score: Score) -> dict[str, str]:
    """What a score was measured with, so that no two rows are compared unawares."""
    names = ("task version", "decoding", "engine", "dtype", "tensor parallel size", "batch size")
    return {
        name.replace(" ", "_").replace("-", "_"): score.settings.all.get(name, "")
        for name in (*names, "lm-eval", "transformers")
    }


def _spent(run: RunResult) -> dict[str, Any]:
    trained = run.training
    if trained is None:
        return {}
    return {
        "train_tokens": trained.tokens,
        "train_seconds": trained.seconds,
        "mean_loss": trained.mean_loss,
        "last_loss": trained.last_loss,
    }


def csv_cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula, whatever a name begins with.

    >>> csv_cell("=HYPERLINK(1)"), csv_cell("level1"), csv_cell(-0.5)
    ("'=HYPERLINK(1)", 'level1', -0.5)
    """
    formula = isinstance(value, str) and value.strip()[:1] in ("=", "+", "-", "@")
    return f"'{value}" if formula else value


def as_markdown(table: Table, title: str, level: int = 1) -> str:
    """Return the table as Markdown, with the notes as a list below; names stay plain text."""
    rule = ["---" if n in ("student", "arm", "task") else "---:" for n in table.columns]
    lines = [_markdown_row(map(escaped_markdown, table.columns)), _markdown_row(rule)]
    lines += [_markdown_row(map(escaped_markdown, row)) for row in table.rows]
    notes = "".join(f"- {escaped_markdown(note)}\n" for note in table.notes)
    heading = f"{'#' * level} {escaped_markdown(title)}\n\n"
    return (
        ("\n" if level > 1 else "")
        + heading
        + "\n".join(lines)
        + "\n"
        + (f"\n{notes}" if notes else "")
    )


def _markdown_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cells(run: RunResult, score: Score) -> list[str]:
    trained = run.training
    asked = str(score.questions) + (f" × {score.repeats}" if score.repeats > 1 else "")
    known = not math.isnan(score.score.low)
    if score.tokens is not None:
        length = f"{score.tokens:,.0f} tokens"
    else:
        length = "" if score.characters is None else f"{score.characters:,.0f} chars"
    return [
        score.task,
        f"{100 * score.score.value:.1f}",
        f"{100 * score.score.low:.1f} - {100 * score.score.high:.1f}" if known else "not known",
        asked,
        length,
        "" if score.cut_off is None else f"{100 * score.cut_off:.1f}",
        f"{trained.tokens:,}" if trained and trained.tokens else "",
        f"{trained.seconds:.0f}" if trained else "",
        "" if score.evaluate_seconds is None else f"{score.evaluate_seconds:.0f}",
        f"{trained.last_loss:.3g}" if trained else "",
    ]


def _verdicts(results: Results) -> list[str]:
    if results.source == "run":
        return []
    verb = {"rescored": "rescore", "judged": "judge"}[results.source]
    return [
        f"scores are of {results.source} verdicts (cotdistill {verb}), not those that the runs "
        "logged; cut-off shares are the runs'"
    ]


def _separations(results: Results, scores: Matrix) -> list[str]:
    """Say of the best and the worst run of each task whether their intervals overlap."""
    lines = []
    for task in sorted(scores.tasks):
        rows = [(run, score) for run, score in results.rows() if score.task == task]
        pairs = list(combinations(rows, 2))
        if not pairs:
            continue
        if task in scores.unequal_questions:
            lines.append(
                f"{task}: the runs did not all answer the same questions, so the intervals of the "
                "best and the worst are not compared"
            )
            continue
        apart = [not one.score.overlaps(two.score) for (_, one), (_, two) in pairs]
        best = max(rows, key=lambda pair: pair[1].score.value)
        worst = min(rows, key=lambda pair: pair[1].score.value)
        overlap = "overlap" if best[1].score.overlaps(worst[1].score) else "do not overlap"
        lines.append(
            f"{task}: the intervals of the best ({_name(best)}) and the worst ({_name(worst)}) "
            f"{overlap}; {sum(apart)} of {len(pairs)} pairs of intervals do not overlap"
        )
    return lines


def _name(pair: tuple[RunResult, Score]) -> str:
    return f"{pair[0].run} {100 * pair[1].score.value:.1f}"
