"""What a report says of the rounds of a loop: coverage, correct answers, the tail, and the cost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from cotdistill.results.report.loop_report import loop_figures, loop_tables
from cotdistill.runfolder.manifest import MANIFEST, manifest_text
from cotdistill.runfolder.round_records import (
    Bin,
    RoundData,
    RoundDecision,
    write_data,
    write_decision,
)
from run_folder import manifest_run

RUN = "tiny--improve--full--s1"
DONE = {
    1: (Bin("1", 10, 0.9, 16, {"0": 1, "2": 9}), Bin("2", 10, 0.4, 4, {"0": 6, "1": 4})),
    2: (Bin("1", 10, 0.9, 18, {"0": 1, "2": 9}), Bin("2", 10, 0.2, 2, {"0": 8, "1": 2})),
}


def put(folder: Path) -> Path:
    run = replace(manifest_run(RUN, "improve"), rounds=3, stages=None)
    (folder / MANIFEST).write_text(manifest_text([run]), encoding="utf-8")
    for number, bins in DONE.items():
        rows = {"new": sum(one.rows for one in bins)}
        data = RoundData(
            number, {}, 20, 80, 0.65, {"0": 7, "1": 4, "2": 9}, bins, rows, {"copy": 3}, 0.5, 12.0,
            0.0, None, 900,
        )  # fmt: skip
        write_data(folder, f"{RUN}--round{number}", data)
        alarms = ("the hardest fifth has 10 % of the rows",) if number == 2 else ()
        decision = RoundDecision(
            number, {"dev": 0.5}, 0.5, 1.0, -2.0, 4.0, number, "continue", "gained", alarms,
            seconds={"sample": 10.0, "train": 20.0},
        )  # fmt: skip
        write_decision(folder, f"{RUN}--round{number}", decision)
    return folder


def test_a_row_a_round_says_what_it_reached_and_cost(tmp_path: Path) -> None:
    (rounds,) = loop_tables([put(tmp_path)])
    row = dict(zip(rounds.table.columns, rounds.table.rows[1], strict=True))
    assert (row["run"], row["round"], row["dev score %"]) == ("improve", "2", "50.0")
    assert (row["covered %"], row["hardest covered %"], row["hardest rows %"]) == (
        "65.0",
        "20",
        "10",
    )
    assert (row["rows"], row["dropped"], row["tokens"], row["seconds"]) == ("20", "3", "900", "30")
    assert rounds.table.notes == ("improve, round 2: the hardest fifth has 10 % of the rows",)


def test_figures_show_coverage_tail_and_correct_answers_by_round_and_difficulty(
    tmp_path: Path,
) -> None:
    figures = {one.name: one for one in loop_figures([put(tmp_path)])}
    assert set(figures) == {
        "rounds-score", "rounds-coverage", "rounds-distinct", "rounds-improve-difficulty",
        "rounds-improve-tail", "rounds-improve-correct", "rounds-improve-correct-difficulty",
    }  # fmt: skip
    tail = {row[:2]: row[2] for row in figures["rounds-improve-tail"].data.rows}
    assert tail["difficulty 2", "1"] == "0.2"
    assert tail["difficulty 2", "2"] == "0.1"
    histogram = {row[:2]: row[2] for row in figures["rounds-improve-correct-difficulty"].data.rows}
    assert histogram["round 2, difficulty 2", "0"] == "0.8"
    assert histogram["round 1, difficulty 1", "2"] == "0.9"
    assert histogram["round 1, difficulty 1", "1"] == "0"


def test_rounds_of_an_older_version_have_no_counts_by_difficulty(tmp_path: Path) -> None:
    put(tmp_path)
    for path in tmp_path.rglob("*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        for one in record.get("bins", []):
            del one["correct"]
        path.write_text(json.dumps(record), encoding="utf-8")
    names = {one.name for one in loop_figures([tmp_path])}
    assert "rounds-improve-correct" in names
    assert "rounds-improve-correct-difficulty" not in names
