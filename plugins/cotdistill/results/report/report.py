"""Write all of `report/`: tables, charts and the page, from one reading of the run folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cotdistill.errors import DataError, Fault, MisuseError
from cotdistill.files.atomic import write_text
from cotdistill.files.inputs import refuse_overwriting
from cotdistill.results.arm_comparisons import difference_row
from cotdistill.results.collect import collect_all
from cotdistill.results.evaluation import evaluation_of
from cotdistill.results.factors import by_factor
from cotdistill.results.matrix import Matrix, matrix
from cotdistill.results.report.arm_table import arm_rows, arm_table
from cotdistill.results.report.charts import Figure
from cotdistill.results.report.closeness_report import closeness
from cotdistill.results.report.factor_tables import TitledTable, effect_row, factor_tables
from cotdistill.results.report.latex import as_latex
from cotdistill.results.report.loop_report import loop_figures, loop_tables
from cotdistill.results.report.methods import methods
from cotdistill.results.report.narrow import narrow
from cotdistill.results.report.page import Made, page
from cotdistill.results.report.probe_report import probe_notes, probe_tables
from cotdistill.results.report.sample_browser import SampleKeeper, browse, trained_on
from cotdistill.results.report.spreadsheet import require_library, write_spreadsheet
from cotdistill.results.report.study_charts import study_figures
from cotdistill.results.report.tables import (
    as_csv,
    as_markdown,
    comparison_table,
    comparisons_title,
    run_table,
    table_csv,
    verdicts_note,
)
from cotdistill.results.report.verdict import verdict
from cotdistill.results.run_names import short_names
from cotdistill.results.run_results import Results, Score
from cotdistill.results.run_settings import settings_warnings
from cotdistill.results.verdict_files import VerdictSource
from cotdistill.runfolder.bundles import in_recorded_bundles
from cotdistill.runfolder.manifest import MANIFEST
from cotdistill.studies.load import study_if_any
from cotdistill.tables import Table


class Report(NamedTuple):
    """What was found and written.

    `table` has a row an arm, `runs` a row a run, `comparisons` one a comparison with the baseline;
    `by_factor` are pivots and effects. `verdict` is the finding in a line, `missing` says which
    runs are not in it. `data` is all of it unrounded, for programs.
    """

    verdict: str
    missing: str
    table: Table
    comparisons: Table
    by_factor: list[TitledTable]
    runs: Table
    written: list[Path]
    results: Results
    data: Mapping[str, Any]


@in_recorded_bundles
def report(
    folder: Path,
    baseline: str | None = None,
    source: VerdictSource = "run",
    teachers: Sequence[Path] = (),
    *,
    more: Sequence[Path] = (),
    out: Path | None = None,
    spreadsheet: bool = False,
    notes: Sequence[str] = (),
) -> Report:
    """Read run folders, each of their files once, and write everything under `out`.

    `baseline` is the arm that the others are tested against; `source` says whose verdicts count;
    `teachers` are folders with scores of the models that wrote the rationales. `more` are further
    run folders for the same page; `out` is `report/` in the run folder unless there are any;
    `spreadsheet` asks for report.xlsx too; `notes` are shown first of all notes.

    Raises:
        MisuseError: several folders and no place to write to, or no library for a spreadsheet.
        DataError: a folder is not a run folder, nothing in it has finished, there is no such
            baseline, or a run was never graded as `source` says.
    """
    if more and out is None:
        raise MisuseError("cotdistill report: several run folders need a place to write: -o DIR")
    if spreadsheet:
        require_library()
    folders = [folder, *more]
    samples = SampleKeeper()
    results = collect_all(folders, source, samples.keep)
    if not any(run.scores for run in results.runs):
        states = "; ".join(f"{run.run}: {run.state}" for run in results.runs[:5])
        remedy = f"run it: cotdistill run {folder}"
        raise DataError(Fault(str(folder), f"no finished run ({states})", "", remedy))
    scores = matrix(results, baseline)
    factors = by_factor(scores)
    chance = {task: share for task in scores.tasks if (share := samples.chance(task)) is not None}
    taught = teacher_scores(teachers, scores.tasks, source)
    close = closeness(results, scores)
    unequal = settings_warnings(results.settings)
    probed = probe_notes(results.folders)
    browsed = browse(results, samples)
    notes = [*notes, *trained_on(browsed)]
    stated = [one for one in (*notes, results.missing, verdicts_note(results)) if one]
    made = Made(
        title=title_of(folders),
        verdict=verdict(scores),
        missing=results.missing,
        methods=methods(results, scores),
        table=arm_table(scores, [*stated, *unequal, *probed]),
        comparisons=comparison_table(scores),
        by_factor=factor_tables(factors, scores),
        runs=run_table(results, scores),
        figures=[
            *study_figures(results, scores, factors, chance, taught),
            *close.figures,
            *loop_figures(results.folders),
        ],
        probed=probed,
        probes=probe_tables(results.folders),
        closeness=list(close.tables),
        on_the_way=loop_tables(results.folders),
        browsed=browsed,
        notes=notes,
    )
    written = _write(out or folder / "report", results, scores, made)
    if spreadsheet:
        path = (out or folder / "report") / "report.xlsx"
        write_spreadsheet(path, results, scores, factors)
        written.append(path)
    data = {
        "study": made.title,
        "folders": [str(one) for one in folders],
        "verdict": made.verdict,
        "missing": made.missing,
        "notes": list(dict.fromkeys([*made.table.notes, *made.runs.notes])),
        "verdicts": results.source,
        "baseline": scores.baseline,
        "scores": arm_rows(scores),
        "comparisons": [difference_row(one) for one in scores.differences],
        "main_effects": [effect_row(one) for one in factors.main],
        "interactions": [effect_row(one) for one in factors.interactions],
        "methods": made.methods,
    }
    return Report(
        verdict=made.verdict,
        missing=made.missing,
        table=made.table,
        comparisons=made.comparisons,
        by_factor=made.by_factor,
        runs=made.runs,
        written=written,
        results=results,
        data=data,
    )


def title_of(folders: Sequence[Path]) -> str:
    """Return the name of the study, or those of the folders."""
    names = []
    for folder in folders:
        study = study_if_any(folder)
        names.append(study.name if study else folder.resolve().name)
    return " and ".join(dict.fromkeys(names))


def _write(out: Path, results: Results, scores: Matrix, made: Made) -> list[Path]:
    title = f"Results of {made.title}"
    texts = {
        out / "report.csv": as_csv(results),
        out / "report.md": _markdown(title, scores, made),
        out / "report.tex": as_latex(scores, title, made.title),
        **{path: text for figure in made.figures for path, text in _figure_files(out, figure)},
        out / "report.html": page(results, scores, made),
    }
    tables = [score.table for _, score in results.rows() if score.table is not None]
    inputs = [one / MANIFEST for one in results.folders]
    refuse_overwriting([*inputs, *(table.file.path for table in tables)], texts)
    for path, text in texts.items():
        write_text(path, text)
    for old in sorted([*(out / "figures").glob("*.svg"), *(out / "figures").glob("*.csv")]):
        if old not in texts:
            old.unlink()  # a picture of runs that are no longer there would mislead
    return list(texts)


def _figure_files(out: Path, figure: Figure) -> list[tuple[Path, str]]:
    name = out / "figures" / figure.name
    return [
        (name.with_name(f"{figure.name}.svg"), figure.svg),
        (name.with_name(f"{figure.name}.csv"), table_csv(figure.data)),
    ]


def _markdown(title: str, scores: Matrix, made: Made) -> str:
    text = _in_parts(made.table, title, 1, made.verdict)
    if made.comparisons.rows:
        text += _in_parts(made.comparisons, comparisons_title(scores), 2)
    for one in [*made.by_factor, *made.probes, *made.closeness, *made.on_the_way]:
        text += _in_parts(one.table, one.title, 2, one.about)
    of_runs = [note for note in made.runs.notes if note not in made.table.notes]
    if of_runs:
        text += as_markdown(Table((), (), tuple(of_runs)), "Notes on single runs", 2)
    return text + as_markdown(Table((), ()), "Methods", 2, before=(made.methods,))


def _in_parts(table: Table, title: str, level: int, before: str = "") -> str:
    first, *others = narrow(table)
    lines = [before, f"{first.title}:" if first.title else ""]
    text = as_markdown(first.table, title, level, before=[line for line in lines if line])
    return text + "".join(as_markdown(part.table, part.title, level + 1) for part in others)


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
