"""Tables of results in parts of at most 100 columns, of which no cell is lost."""

from pathlib import Path

import pytest

from cotdistill.results.compare import compare, comparison_table
from cotdistill.results.report.narrow import WIDTH, narrow
from cotdistill.results.report.report import report
from cotdistill.tables import Table
from run_folder import add_run, add_scores, add_training

STUDENTS = ("Qwen2.5-0.5B-Instruct", "SmolLM2-135M-Instruct")


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two students, two teachers, six levels, and two random seeds."""
    folder = tmp_path_factory.mktemp("grid")
    for student in STUDENTS:
        for number, teacher in enumerate(("chatgpt", "gemini")):
            for level in range(1, 7):
                for seed in (1, 2):
                    arm = f"svamp_{teacher}_level{level}"
                    run = f"{student}--{arm}--s{seed}"
                    factors = {"teacher": teacher, "level": level}
                    add_run(folder, run, arm, student, seed, factors=factors)
                    add_training(folder, run)
                    right = 4 + 2 * level + number + seed % 2
                    add_scores(folder, run, [(7 * n) % 20 < right for n in range(20)])
    return folder


def lines_of(table: Table) -> list[str]:
    """Return the lines of all parts as they are printed."""
    found = []
    for part in narrow(table):
        widths = [
            max(map(len, cells)) for cells in zip(part.table.columns, *part.table.rows, strict=True)
        ]
        for row in (part.table.columns, *part.table.rows):
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            found.append("  ".join(cells).rstrip())
    return found


def test_the_tables_of_a_report_and_of_compare_fit(grid: Path) -> None:
    made = report(grid)
    tables = [made.table, made.comparisons, comparison_table(compare([grid])[0])]
    tables += [one.table for one in made.by_factor]
    assert len(tables) > 6
    for table in tables:
        lines = lines_of(table)
        assert max(map(len, lines)) <= WIDTH, lines[0]
        kept = "\n".join([*lines, *(part.title for part in narrow(table))])
        for row in table.rows:
            for cell in row:
                parts = cell.split(" · ")
                assert all(part in kept for part in parts), cell


def test_a_part_is_called_after_its_rows_and_says_once_what_they_share(grid: Path) -> None:
    parts = narrow(comparison_table(compare([grid])[0]))
    titles = [part.title for part in parts if "continued" not in part.title]
    assert len(titles) == len(STUDENTS)
    for title, student in zip(titles, STUDENTS, strict=True):
        assert title.startswith(f"digits, against {student} · svamp_chatgpt_level1 (questions 20, ")
        assert "claim about arms" in title
    assert parts[0].table.rows[0][0] == "svamp_chatgpt_level2"
    assert [bool(part.table.notes) for part in parts] == [False] * (len(parts) - 1) + [True]


def test_a_pivot_with_many_columns_is_turned() -> None:
    cells = tuple(f"{n}0.0 (10.0-90.0)" for n in range(7))
    columns = ("student", *(f"level {n}" for n in range(7)))
    (part,) = narrow(Table(columns, (("one", *cells), ("two", *cells)), ("a note",)))
    assert part.table.columns == ("student", "one", "two")
    assert part.table.rows[1] == ("level 1", cells[1], cells[1])
    assert part.table.notes == ("a note",)
