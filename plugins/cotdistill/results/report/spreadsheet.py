"""The results as a spreadsheet: every run, and pivots whose means are formulas over the runs.

Cells that come from names are written as text and never as formulas. The same results give the
same bytes.
"""

from __future__ import annotations

import importlib.util
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cotdistill.errors import MisuseError
from cotdistill.files.atomic import written_bytes
from cotdistill.results.effects import ByFactor
from cotdistill.results.groups import NAMES
from cotdistill.results.matrix import Matrix
from cotdistill.results.report.tables import columns_of, result_rows
from cotdistill.results.run_results import Results

_CREATED = datetime(2000, 1, 1)  # fixed, so that the bytes are
_RUNS = "runs"
_HEAD = 3  # the row of a pivot's column heads
_MOST_NAME = 31  # characters of a sheet's name, and of a cell
_MOST_CELL = 32_000
_COLOURS = {"min_color": "#FFFFFF", "max_color": "#8FB4E8"}


def require_library() -> None:
    """Say before any work is done that the spreadsheet cannot be written.

    Raises:
        MisuseError: XlsxWriter is not installed.
    """
    if importlib.util.find_spec("xlsxwriter") is None:
        raise MisuseError(
            "cotdistill report --spreadsheet needs XlsxWriter: "
            'pip install "cotdistill[spreadsheet]"'
        )


def write_spreadsheet(path: Path, results: Results, scores: Matrix, factors: ByFactor) -> None:
    """Write a workbook: a sheet of all runs, one of arms by task, and one for each pivot."""
    import xlsxwriter

    rows = result_rows(results)
    columns = columns_of(rows)
    with written_bytes(path) as stream:
        settings = {"strings_to_formulas": False, "strings_to_urls": False, "in_memory": True}
        book = xlsxwriter.Workbook(stream, settings)
        book.set_properties({"created": _CREATED})
        percent, bold = book.add_format({"num_format": "0.0%"}), book.add_format({"bold": True})
        formats = (percent, bold)
        runs = book.add_worksheet(_RUNS)
        _write_runs(runs, columns, rows, formats)
        names = {_RUNS}
        arms = list(dict.fromkeys(arm for _, arm, _ in scores.groups))
        _write_pivot(
            book.add_worksheet(_named("arm x task", names)),
            _Pivoted(columns, rows, ("arm", arms), ("task", list(scores.tasks)), {}),
            formats,
        )
        for pivot in factors.pivots:
            row, column = (
                name if name in NAMES else f"factor_{name}"
                for name in (pivot.row_factor, pivot.column_factor)
            )
            where = {"task": pivot.task} | ({"recipe": pivot.recipe} if pivot.recipe else {})
            _write_pivot(
                book.add_worksheet(
                    _named(f"{pivot.row_factor} x {pivot.column_factor} {pivot.task}", names)
                ),
                _Pivoted(columns, rows, (row, pivot.rows), (column, pivot.columns), where),
                formats,
            )
        book.close()


@dataclass(frozen=True)
class _Pivoted:
    """A pivot of the sheet of runs: the column and values of its rows, and of its columns."""

    columns: Sequence[str]
    runs: Sequence[Mapping[str, Any]]
    down: tuple[str, Sequence[Any]]
    across: tuple[str, Sequence[Any]]
    where: Mapping[str, Any]

    def mean(self, row: Any, column: Any) -> float | None:
        """Return the mean score of the runs that a cell is of."""
        wanted = {**self.where, self.down[0]: row, self.across[0]: column}
        found = [
            run["score"]
            for run in self.runs
            if "score" in run and all(run.get(name) == value for name, value in wanted.items())
        ]
        return statistics.fmean(found) if found else None

    def formula(self, row: int, column: int) -> str:
        """Return the same as a formula over the sheet of runs."""
        from xlsxwriter.utility import xl_rowcol_to_cell

        def whole(name: str) -> str:
            place = self.columns.index(name)
            first = xl_rowcol_to_cell(1, place, row_abs=True, col_abs=True)
            last = xl_rowcol_to_cell(len(self.runs), place, row_abs=True, col_abs=True)
            return f"{_RUNS}!{first}:{last}"

        terms = [whole("score"), whole(self.down[0]), xl_rowcol_to_cell(row, 0, col_abs=True)]
        terms += [whole(self.across[0]), xl_rowcol_to_cell(_HEAD, column, row_abs=True)]
        for place, name in enumerate(self.where):
            terms += [whole(name), xl_rowcol_to_cell(place, 1, row_abs=True, col_abs=True)]
        return f'=IFERROR(AVERAGEIFS({",".join(terms)}),"")'


def _write_runs(
    sheet: Any, columns: Sequence[str], rows: Sequence[Mapping[str, Any]], formats: tuple[Any, Any]
) -> None:
    percent, bold = formats
    for place, name in enumerate(columns):
        sheet.write_string(0, place, name, bold)
        sheet.set_column(place, place, max(9, min(40, len(name) + 2)))
    for number, row in enumerate(rows, start=1):
        for place, name in enumerate(columns):
            shown = percent if name in ("score", "low", "high", "cut_off") else None
            _write(sheet, number, place, row.get(name), shown)
    sheet.autofilter(0, 0, max(len(rows), 1), len(columns) - 1)
    sheet.freeze_panes(1, 1)


def _write_pivot(sheet: Any, pivot: _Pivoted, formats: tuple[Any, Any]) -> None:
    """Write the pivot: what it is of above, and formulas with their values below."""
    percent, bold = formats
    for place, (name, value) in enumerate(pivot.where.items()):
        sheet.write_string(place, 0, name)
        _write(sheet, place, 1, value, None)
    corner = f"{pivot.down[0]} / {pivot.across[0]}".replace("factor_", "")
    sheet.write_string(_HEAD, 0, corner, bold)
    sheet.set_column(0, 0, 28)
    for place, value in enumerate(pivot.across[1], start=1):
        _write(sheet, _HEAD, place, value, bold)
    for number, row in enumerate(pivot.down[1], start=_HEAD + 1):
        _write(sheet, number, 0, row, bold)
        for place, column in enumerate(pivot.across[1], start=1):
            mean = pivot.mean(row, column)
            shown = "" if mean is None else mean
            sheet.write_formula(number, place, pivot.formula(number, place), percent, shown)
    last = (_HEAD + len(pivot.down[1]), len(pivot.across[1]))
    sheet.conditional_format(_HEAD + 1, 1, *last, {"type": "2_color_scale", **_COLOURS})


def _write(sheet: Any, row: int, column: int, value: Any, shown: Any) -> None:
    """Write a value as what it is; text is never taken for a formula or an address."""
    if isinstance(value, bool) or value is None:
        sheet.write_string(row, column, "" if value is None else str(value), shown)
    elif isinstance(value, int | float) and math.isfinite(value):
        sheet.write_number(row, column, value, shown)
    else:
        sheet.write_string(row, column, str(value)[:_MOST_CELL], shown)


def _named(name: str, taken: set[str]) -> str:
    """Return a name that a sheet may have and none has yet.

    >>> _named("level x student cot_gsm8k/main: and more", {"level x student cot_gsm8k-main-"})
    'level x student cot_gsm8k-mai 2'
    """
    plain = re.sub(r"[\[\]:*?/\\']", "-", name)[:_MOST_NAME]
    found, number = plain, 1
    while found.lower() in {one.lower() for one in taken}:
        number += 1
        found = f"{plain[: _MOST_NAME - len(str(number)) - 1]} {number}"
    taken.add(found)
    return found
