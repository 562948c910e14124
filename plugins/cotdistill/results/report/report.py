"""Write all of `report/`: tables, charts and the page, from one reading of a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cotdistill.errors import DataError, Fault
from cotdistill.files.atomic import write_text
from cotdistill.files.inputs import refuse_overwriting
from cotdistill.results.collect import Results, Score, collect, evaluation_of
from cotdistill.results.matrix import as_latex, matrix
from cotdistill.results.report.page import page
from cotdistill.results.report.sample_browser import SampleKeeper, browse
from cotdistill.results.report.study_charts import study_figures
from cotdistill.results.report.tables import (
    as_csv,
    as_markdown,
    comparison_table,
    comparisons_title,
    score_table,
)
from cotdistill.results.run_names import short_names
from cotdistill.results.verdict_files import VerdictSource
from cotdistill.runfolder.bundles import in_recorded_bundles
from cotdistill.runfolder.manifest import MANIFEST
from cotdistill.tables import Table


class Report(NamedTuple):
    """What was written: tables of runs and of comparisons, the files, and what they are made of."""

    table: Table
    comparisons: Table
    written: list[Path]
    results: Results


@in_recorded_bundles
def report(
    folder: Path,
    baseline: str | None = None,
    source: VerdictSource = "run",
    teachers: Sequence[Path] = (),
) -> Report:
    """Read a run folder, each of its files once, and write everything under `report/`.

    `baseline` is the arm that the others are tested against; `source` says whose verdicts count;
    `teachers` are folders with scores of the models that wrote the rationales.

    Raises:
        DataError: the folder is not a run folder, nothing in it has finished, there is no such
            baseline, or a run was never graded as `source` says.
    """
    samples = SampleKeeper()
    results = collect(folder, source, samples.keep)
    if not any(run.scores for run in results.runs):
        states = "; ".join(f"{run.run}: {run.state}" for run in results.runs[:5])
        remedy = f"run it: cotdistill run {folder}"
        raise DataError(Fault(str(folder), f"no finished run ({states})", "", remedy))
    made = folder / "report"
    scores = matrix(results, baseline)
    table, comparisons = score_table(results, scores), comparison_table(scores)
    name = folder.resolve().name
    figures = study_figures(results, scores, teacher_scores(teachers, scores.tasks, source))
    texts = {
        made / "report.csv": as_csv(results),
        made / "report.md": as_markdown(table, f"Results of {name}")
        + (as_markdown(comparisons, comparisons_title(scores), 2) if comparisons.rows else ""),
        made / "report.tex": as_latex(scores, f"Results of {name}"),
        **{made / "figures" / f"{figure.name}.svg": figure.svg for figure in figures},
        made / "report.html": page(
            results, scores, (table, comparisons), figures, browse(results, samples)
        ),
    }
    tables = [score.table for _, score in results.rows() if score.table]
    refuse_overwriting([folder / MANIFEST, *(table.file.path for table in tables)], texts)
    for path, text in texts.items():
        write_text(path, text)
    for old in sorted((made / "figures").glob("*.svg")):
        if old not in texts:
            old.unlink()  # a picture of runs that are no longer there would mislead
    return Report(table, comparisons, list(texts), results)


def teacher_scores(
    folders: Sequence[Path], tasks: Sequence[str], source: VerdictSource = "run"
) -> list[tuple[str, Score]]:
    """Return what teachers scored on a study's tasks, each named by its folder.

    Raises:
        DataError: a folder has no score on any of the tasks.
    """
    found = []
    for folder, name in zip(folders, short_names(folders) if folders else [], strict=True):
        scores = [one for one in evaluation_of(folder, None, source).scores if one.task in tasks]
        if not scores:
            wrong = f"no score on {', '.join(tasks)}"
            remedy = "score the teacher on the same tasks: cotdistill eval"
            raise DataError(Fault(str(folder), wrong, "results of lm-eval", remedy))
        found += [(name, score) for score in scores]
    return found
