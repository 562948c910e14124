"""`list` and `path` say what there is to choose from, and find a row by a word."""

from __future__ import annotations

import json

import pytest

from cotdistill.cli.main import main


@pytest.mark.parametrize(
    ("verb", "choices"),
    [("list", "studies, datasets, benchmarks, tasks"), ("path", "dataset_info, task_configs")],
)
def test_without_an_argument_the_choices_are_named(
    verb: str, choices: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb]) == 2
    assert choices in capsys.readouterr().err


def test_a_word_finds_rows_in_any_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "benchmarks", "AIME", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["benchmark"] for row in rows] == ["aime24", "aime25"]
    assert set(rows[0]) == {"benchmark", "questions", "prepared", "answer", "licence", "about"}
    assert main(["list", "benchmarks", "zebra"]) == 2
    assert "no row holds 'zebra'" in capsys.readouterr().err
