"""The public functions about studies; `cotdistill/__init__.py` lists them next to the grader's.

Their names, parameters and results stay. Each does what the verb of its name does, raises
`cotdistill.errors.UserError` where the verb prints a line, and prints nothing itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cotdistill.errors import Fault, MisuseError
from cotdistill.files.bundle import more_bundles

if TYPE_CHECKING:
    from cotdistill.results.compare import Comparison
    from cotdistill.runfolder.generate import Generated
    from cotdistill.runs.run import Ran
    from cotdistill.studies.study import Study

Verdicts = Literal["run", "rescored", "judged"]


def load_study(
    study: str | Path, settings: Sequence[str] = (), *, bundles: Sequence[str | Path] = ()
) -> Study:
    """Return a study by its name or file, with `key=value` settings applied, checked.

    Raises:
        UserError: there is no such study, or it has faults; all of them at once.

    >>> study = load_study("quickstart", ["seeds=[1, 2, 3]"])
    >>> study.seeds, list(study.arms)
    ([1, 2, 3], ['answer-only', 'level2', 'level3', 'level6'])
    """
    from cotdistill.studies.load import load_study as load

    with more_bundles(bundles):
        return load(str(study), settings)[0]


def check(
    what: str | Path | None = None,
    settings: Sequence[str] = (),
    *,
    deep: bool = False,
    bundles: Sequence[str | Path] = (),
) -> tuple[Fault, ...]:
    """Return every fault of a study, a run folder, a bundle, or (None) of all bundles.

    >>> check("quickstart")
    ()
    """
    from cotdistill.preflight.check import check as find_faults

    with more_bundles(bundles):
        return find_faults(None if what is None else str(what), settings, deep).faults


def generate(
    study: str | Path,
    folder: str | Path | None = None,
    settings: Sequence[str] = (),
    *,
    bundles: Sequence[str | Path] = (),
) -> Generated:
    """Write the run folder of a study; the result names it and what is new or changed in it.

    Raises:
        UserError: the study or the rows of an arm have faults; nothing is written.
    """
    from cotdistill.runfolder.generate import generate as write

    with more_bundles(bundles):
        return write(str(study), None if folder is None else Path(folder), settings)


def run(
    folder: str | Path,
    *,
    only: Sequence[str] = (),
    gpus: int | None = None,
    jobs: int | None = None,
    keep_going: bool = False,
) -> Ran:
    """Execute a run folder and return what was done, what failed, and what is left.

    Finished jobs are not repeated; after an interruption, the same call resumes.

    Raises:
        UserError: it cannot start; all reasons at once. A job that fails is in the result.
    """
    from cotdistill.runs.options import RunOptions
    from cotdistill.runs.run import run as run_jobs

    options = RunOptions(tuple(only), gpus, jobs, keep_going)
    return run_jobs(Path(folder), options, lambda _events, _line: None)


def report(
    folder: str | Path, baseline: str | None = None, *, verdicts: Verdicts = "run"
) -> list[Path]:
    """Write tables, pictures and the HTML page of a run folder, and return their paths.

    Raises:
        UserError: nothing in it has finished, or there is no such baseline.
    """
    from cotdistill.results.report.report import report as write
    from cotdistill.runs.outdated import outdated_scores

    notes = outdated_scores([Path(folder)])
    return write(Path(folder), baseline, verdicts, notes=notes).written


def read_results(folder: str | Path, *, verdicts: Verdicts = "run") -> list[dict[str, Any]]:
    """Return one row for each run × task of a run folder: score, interval, settings, costs.

    Units: scores and intervals are fractions; lengths means a response; times in seconds. A run
    without a score has one row with its state.

    Raises:
        UserError: it is not a run folder, or its files are broken.
    """
    from cotdistill.results.collect import collect
    from cotdistill.results.report.tables import result_rows

    return result_rows(collect(Path(folder), verdicts))


def results_frame(folder: str | Path, *, verdicts: Verdicts = "run") -> Any:
    """Return the rows of `read_results` as a pandas DataFrame.

    Raises:
        UserError: as `read_results`, or pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise MisuseError("results_frame needs pandas: pip install pandas") from error
    return pandas.DataFrame(read_results(folder, verdicts=verdicts))


def compare(
    *runs: str | Path,
    task: str | None = None,
    verdicts: Verdicts = "run",
    all_pairs: bool = False,
    anyway: bool = False,
) -> list[Comparison]:
    """Return paired comparisons of runs with the first one (or all pairs), task by task.

    A run is a folder of scores or a samples file. What a person should know about the comparison
    is a Python warning.

    Raises:
        UserError: fewer than two runs, no task in common, or settings that must be equal differ.
    """
    from cotdistill.results.compare import compare as compare_runs
    from cotdistill.runs.outdated import outdated_scores

    places = [Path(run) for run in runs]
    found, cautions = compare_runs(
        places,
        task=task,
        source=verdicts,
        all_pairs=all_pairs,
        anyway=anyway,
    )
    for caution in (*outdated_scores(places), *cautions):
        warnings.warn(caution, UserWarning, stacklevel=2)
    return found
