"""The spreadsheet: every run, pivots as formulas with their values, nothing read as a formula."""

import importlib.util
import re
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

import pytest

from cotdistill.results.report.report import report
from run_folder import add_run, add_scores, add_training

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("xlsxwriter") is None, reason="XlsxWriter is not installed"
)
MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def sheets(path: Path) -> dict[str, dict[str, str]]:
    """Return the cells of each sheet: a formula with its value behind a bar, else the value."""
    with zipfile.ZipFile(path) as archive:
        shared = [
            "".join(node.itertext()) for node in ET.fromstring(archive.read("xl/sharedStrings.xml"))
        ]
        book = ET.fromstring(archive.read("xl/workbook.xml"))
        names = [sheet.get("name", "") for sheet in book.iter(f"{MAIN}sheet")]
        found = {}
        for number, name in enumerate(names, start=1):
            root = ET.fromstring(archive.read(f"xl/worksheets/sheet{number}.xml"))
            cells = {}
            for cell in root.iter(f"{MAIN}c"):
                value, formula = cell.find(f"{MAIN}v"), cell.find(f"{MAIN}f")
                text = "" if value is None else value.text or ""
                text = shared[int(text)] if cell.get("t") == "s" else text
                cells[cell.get("r", "")] = text if formula is None else f"{formula.text}|{text}"
            found[name] = cells
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    here = tmp_path / "study"
    for arm, level, count in [("=HYPERLINK(1)", 1, 10), ("fine", 6, 30)]:
        for seed in (1, 2):
            run = f"run-{level}-{seed}"
            add_run(here, run, arm, seed=seed, factors={"level": level})
            add_training(here, run)
            add_scores(here, run, [n < count + seed for n in range(40)])
    return here


def test_pivots_are_formulas_over_the_runs_with_their_values(folder: Path) -> None:
    made = report(folder, spreadsheet=True)
    path = folder / "report" / "report.xlsx"
    assert path in made.written
    found = sheets(path)
    assert list(found) == ["runs", "arm x task", "student x level digits"]
    heads = [found["runs"][f"{letter}1"] for letter in "ABCDEFG"]
    assert heads == ["run", "student", "arm", "recipe", "seed", "factor_level", "state"]
    pivot = found["student x level digits"]
    assert (pivot["A1"], pivot["B1"], pivot["B4"], pivot["C4"]) == ("task", "digits", "1", "6")
    formula, value = pivot["C5"].split("|")
    assert re.match(r"IFERROR\(AVERAGEIFS\(runs!\$[A-Z]+\$2:\$[A-Z]+\$5,", formula)
    assert float(value) == pytest.approx((31 + 32) / 80)


def test_a_name_is_never_a_formula(folder: Path) -> None:
    report(folder, spreadsheet=True)
    cells = sheets(folder / "report" / "report.xlsx")["runs"]
    assert "=HYPERLINK(1)" in cells.values()  # as text: with a formula it would end in a value
    assert not any("|" in value for value in cells.values())


def test_the_same_results_give_the_same_bytes(folder: Path) -> None:
    path = folder / "report" / "report.xlsx"
    contents = []
    for _ in range(2):
        report(folder, spreadsheet=True)
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
