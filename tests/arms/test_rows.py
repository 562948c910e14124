"""The rows of a file become an arm's training rows: nothing is dropped that nobody is told of."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cotdistill.arms.build import build_arm
from cotdistill.cli.main import main
from cotdistill.files.ledger import read_ledger
from trace_rows import write_jsonl

Study = dict[str, Any]
WriteStudy = Callable[[Study], Path]

ASKED, STEPS, ANSWER = "Bo has 3 pens and finds 4. How many?", "3 and 4 make 7.", "It is 7."


def rows_of(folder: Path, arm: str = "a") -> list[dict[str, str]]:
    text = (folder / "data" / f"{arm}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def generated(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> Callable[..., tuple[int, Path, Path]]:
    """Generate a study whose arm `a` is a file of some rows; give the status and both paths."""

    def generate(rows: list[dict[str, Any]], **arm: Any) -> tuple[int, Path, Path]:
        write_jsonl(tmp_path / "pens.jsonl", rows)
        small_study["arms"] = {"a": {"file": "pens.jsonl", **arm}}
        study = study_file(small_study)
        folder = tmp_path / "run"
        return main(["generate", str(study), "-o", str(folder)]), folder, study

    return generate


def test_reasoning_and_system_prompts_are_trained_on_and_reported(
    generated: Callable[..., tuple[int, Path, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    row = {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": ASKED},
            {"role": "assistant", "content": ANSWER, "reasoning_content": STEPS},
        ],
        "source": "web",
    }
    status, folder, study = generated([row, row])
    assert status == 0
    thought = f"<think>\n{STEPS}\n</think>\n\n{ANSWER}"
    assert rows_of(folder) == [
        {"system": "Be brief.", "instruction": ASKED, "output": thought}
    ] * 2  # fmt: skip
    notes = ["arm a: kept: reasoning_content (2 rows)", "arm a: not read: source (2 rows)"]
    written = capsys.readouterr().err
    assert all(f"{note}\n" in written for note in notes)
    for what in (study, folder):
        assert main(["check", str(what)]) == 0
        written = capsys.readouterr().err
        assert all(f"note: {note}\n" in written for note in notes)
    assert read_ledger(folder / "data" / "a.jsonl").notes["fields"]["kept"] == {
        "reasoning_content": 2
    }


@pytest.mark.parametrize(
    ("how", "output"),
    [("plain", f"{STEPS}\n\n{ANSWER}"), ("drop", ANSWER)],
)
def test_an_arm_says_how_reasoning_is_trained_on(
    generated: Callable[..., tuple[int, Path, Path]],
    capsys: pytest.CaptureFixture[str],
    how: str,
    output: str,
) -> None:
    row = {"instruction": ASKED, "output": ANSWER, "thinking": STEPS}
    status, folder, _ = generated([row], reasoning=how)
    assert status == 0
    assert rows_of(folder)[0]["output"] == output
    word = "kept" if how == "plain" else "left out"
    assert f"arm a: {word}: thinking (1 row)\n" in capsys.readouterr().err


def test_a_column_can_be_named_as_the_reasoning(
    generated: Callable[..., tuple[int, Path, Path]],
) -> None:
    row = {"q": ASKED, "final": "7", "notes": STEPS}
    columns = {"prompt": "q", "response": "final", "reasoning": "notes"}
    _, folder, _ = generated([row], columns=columns, reasoning="plain")
    assert rows_of(folder)[0]["output"] == f"{STEPS}\n\n7"


def test_rows_that_are_no_targets_stop_everything_or_are_dropped_and_counted(
    generated: Callable[..., tuple[int, Path, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    good = {"instruction": ASKED, "output": ANSWER}
    rows = [
        good,
        {**good, "label": False},
        {**good, "history": [["Hi", "Hello"]]},
        {**good, "output": " "},
        {**good, "label": False},
    ]
    status, folder, study = generated(rows)
    assert status == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("pens.jsonl: ")[2].partition(";")[0] for line in lines] == [
        "row 2: 'label' is false: marked as undesirable",
        "row 3: earlier turns in 'history'",
        "row 4: no text in column 'output'",
        "row 5: 'label' is false: marked as undesirable",
    ]
    assert not folder.exists()
    assert main(["check", str(study)]) == 1
    capsys.readouterr()
    status, folder, _ = generated(rows, missing="drop")
    assert status == 0
    assert len(rows_of(folder)) == 1
    assert (
        "arm a: dropped: 'label' is false: marked as undesirable (2 rows), earlier turns in "
        "'history'; one question, one answer (1 row), no text in column 'output' (1 row)\n"
    ) in capsys.readouterr().err
    counts = read_ledger(folder / "data" / "a.jsonl").counts
    assert sum(counts.values()) == 5


def test_a_filtered_arm_reads_its_file_as_an_unfiltered_one_does(
    generated: Callable[..., tuple[int, Path, Path]],
) -> None:
    rows = [
        {"q": f"Bo has {n} pens and finds 4. How many?", "final": f"It is {n + 4}.", "notes": STEPS,
         "system": "Be brief.", "gold": str(n + 4)}
        for n in range(3)
    ]  # fmt: skip
    columns = {"prompt": "q", "response": "final", "reasoning": "notes", "system": "system"}
    filters = {"grade": "off", "duplicates": []}
    _, folder, _ = generated(rows, columns=columns, filter=filters)
    build_arm(folder, "a")
    assert rows_of(folder)[2] == {
        "system": "Be brief.",
        "instruction": rows[2]["q"],
        "output": f"<think>\n{STEPS}\n</think>\n\nIt is 6.",
    }
    ledger = read_ledger(folder / "data" / "a.jsonl")
    assert [(each.file, each.rows) for each in ledger.inputs] == [("pens.jsonl", 3)]
    assert ledger.counts == {"kept": 3}
    assert ledger.notes["fields"] == {
        "kept": {"notes": 3, "system": 3}, "not_read": {"gold": 3},
    }  # fmt: skip


def test_the_rows_of_a_paper_are_read_as_an_import_reads_them(
    generated: Callable[..., tuple[int, Path, Path]],
) -> None:
    row = {"input": ASKED, "chain": STEPS, "answer": "7", "initial_correct": True}
    _, folder, _ = generated([row])
    assert rows_of(folder) == [
        {"system": "", "instruction": ASKED, "output": f"{STEPS}\nThe answer is 7"}
    ]


def test_bare_answers_are_trained_on_only_where_the_file_has_nothing_else(
    generated: Callable[..., tuple[int, Path, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    status, folder, _ = generated([{"problem": ASKED, "answer": "7"}])
    assert (status, rows_of(folder)[0]["output"]) == (0, "7")
    with_solution = {"problem": ASKED, "answer": "7", "solution": STEPS}
    status, _, _ = generated([with_solution, {**with_solution, "solution": ""}])
    assert status == 1
    assert "row 2: no text in column 'solution'" in capsys.readouterr().err
