"""The report's tables: runs and comparisons, for a terminal, a spreadsheet and a text."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cotdistill.results.arm_comparisons import difference_table
from cotdistill.results.matrix import EVERY_RECIPE, Matrix
from cotdistill.results.run_results import Results, RunResult, Score
from cotdistill.results.run_settings import settings_warnings
from cotdistill.tables import Table, escaped_markdown

_OF_DISTILLATION = {
    "CE loss": ("ce", "{:.3g}"),
    "KD loss": ("kd", "{:.3g}"),
    "KD share of the gradient": ("kd_share", "{:.1%}"),
    "top-1 agreement": ("kd_agreement", "{:.1%}"),
}
"""Columns of a training with a teacher: the keys of its summary, and how they are shown."""
_TEXTS = (
    "student", "arm", "task", "recipe", "factor", "value", "against", "first", "second", "for",
    "and not", "run", "measure", "test", "claim about", "outcome", "alarms",
)  # fmt: skip


def run_table(results: Results, scores: Matrix) -> Table:
    """Return a row for every run × task; columns that say the same in every row are left out."""
    of_runs = list(results.rows())
    names = ["student", "arm", "recipe", "seed"]
    varying = [n for n in names if n == "arm" or len({getattr(run, n) for run, _ in of_runs}) > 1]
    columns = (*varying, "task", "score %", "95 % interval", "read otherwise", "questions")
    columns += ("length", "shortest", "longest", "truncated %", "timeouts")
    columns += ("train tokens", "train s", "eval s", "last loss")
    columns += tuple(_OF_DISTILLATION)
    rows = tuple(
        (*(str(getattr(run, name)) for name in varying), *_cells(run, score))
        for run, score in sorted(of_runs, key=lambda pair: pair[1].task)
    )
    keep = [place for place, _ in enumerate(columns) if any(row[place] != "" for row in rows)]
    return Table(
        tuple(columns[place] for place in keep),
        tuple(tuple(row[place] for place in keep) for row in rows),
        (
            *([noted] if (noted := verdicts_note(results)) else []),
            *results.notes,
            *scores.notes,
            *settings_warnings(results.settings),
        ),
    )


def comparison_table(scores: Matrix) -> Table:
    """Return a row for every arm compared with the baseline, on each task and in the mean."""
    found = scores.differences
    notes = [
        f"{one.task}: {one.second} against {one.first}: {'; '.join(one.cautions)}"
        for one in found
        if one.cautions
    ]
    for (student, recipe, task), stratum in scores.strata.items():
        if stratum.left_out and (recipe == EVERY_RECIPE) == scores.across_recipes:
            arms = ", ".join(stratum.left_out)
            notes.append(f"{task}: {student}: under 5 % or over 95 %, so not in the run sd: {arms}")
    if len(found) > 1:
        family = "the means together, the tasks together" if scores.mean_is_primary else "all"
        notes.append(f"p Holm and p BH: adjusted over {family} of these {len(found)} comparisons")
    return _without_constant(difference_table(found, notes), ("task", "first"))


def _without_constant(table: Table, names: Sequence[str]) -> Table:
    """Return a table without those of the named columns that say the same in every row."""
    keep = [
        place
        for place, name in enumerate(table.columns)
        if name not in names or len({row[place] for row in table.rows}) > 1
    ]
    return Table(
        tuple(table.columns[place] for place in keep),
        tuple(tuple(row[place] for place in keep) for row in table.rows),
        table.notes,
    )


def comparisons_title(scores: Matrix) -> str:
    """Return what the table of comparisons is called."""
    return f"Compared with {scores.baseline}"


def as_csv(results: Results) -> str:
    """Return the rows of `result_rows` as CSV."""
    rows = result_rows(results)
    columns = columns_of(rows)
    cells = tuple(tuple(row.get(name, "") for name in columns) for row in rows)
    return table_csv(Table(columns, cells))


def columns_of(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return every name that a row has, the factors of the arms next to the other names."""
    names = dict.fromkeys(name for row in rows for name in row)
    factors = [name for name in names if name.startswith("factor_")]
    others = [name for name in names if name not in factors]
    place = others.index("seed") + 1 if "seed" in others else 0
    return (*others[:place], *factors, *others[place:])


def table_csv(table: Table) -> str:
    """Return a table as CSV, without its notes."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows([csv_cell(value) for value in row] for row in table.rows)
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
    factors = {f"factor_{name}": value for name, value in run.factors.items()}
    return named | factors | {"state": run.state.partition(":")[0]}


def _word(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


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
        "response_characters_min": score.shortest,
        "response_characters_max": score.longest,
        "cut_off": score.cut_off,
        "timeouts": score.timeouts,
        **{f"score_{_word(name)}": value for name, value in score.readings.items()},
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
        **{
            key if key.startswith("kd") else f"kd_{key}": run.distilled[key]
            for key, _ in _OF_DISTILLATION.values()
            if key in run.distilled
        },
    }


def csv_cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula, whatever a name begins with.

    >>> csv_cell("=HYPERLINK(1)"), csv_cell("level1"), csv_cell(-0.5)
    ("'=HYPERLINK(1)", 'level1', -0.5)
    """
    formula = isinstance(value, str) and value.strip()[:1] in ("=", "+", "-", "@")
    return f"'{value}" if formula else value


def as_markdown(table: Table, title: str, level: int = 1, before: Sequence[str] = ()) -> str:
    """Return the table as Markdown, with the notes as a list below; names stay plain text.

    `before` are paragraphs between title and table.
    """
    lines = [f"{escaped_markdown(one)}\n" for one in before]
    if table.columns:
        rule = [
            "---" if n in _TEXTS or not place else "---:" for place, n in enumerate(table.columns)
        ]
        lines += [_markdown_row(map(escaped_markdown, table.columns)), _markdown_row(rule)]
        lines += [_markdown_row(map(escaped_markdown, row)) for row in table.rows]
    notes = "".join(f"- {escaped_markdown(note)}\n" for note in table.notes)
    heading = f"{'#' * level} {escaped_markdown(title)}\n\n"
    body = "\n".join(lines) + "\n" if lines or not notes else ""
    between = "\n" if body and notes else ""
    return ("\n" if level > 1 else "") + heading + body + between + notes


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
        ", ".join(f"{name} {100 * value:.1f}" for name, value in score.readings.items()),
        asked,
        length,
        *("" if one is None else f"{one:,}" for one in (score.shortest, score.longest)),
        "" if score.cut_off is None else f"{100 * score.cut_off:.1f}",
        "" if score.timeouts is None else str(score.timeouts),
        f"{trained.tokens:,}" if trained and trained.tokens else "",
        f"{trained.seconds:.0f}" if trained else "",
        "" if score.evaluate_seconds is None else f"{score.evaluate_seconds:.0f}",
        f"{trained.last_loss:.3g}" if trained else "",
        *(
            form.format(run.distilled[key]) if key in run.distilled else ""
            for key, form in _OF_DISTILLATION.values()
        ),
    ]


def verdicts_note(results: Results) -> str:
    """Say whose verdicts the scores are of, where they are not the runs' own."""
    if results.source == "run":
        return ""
    verb = {"rescored": "rescore", "judged": "judge"}[results.source]
    return (
        f"scores are of {results.source} verdicts (cotdistill {verb}), not those that the runs "
        "logged; shares of truncated responses are the runs'"
    )
