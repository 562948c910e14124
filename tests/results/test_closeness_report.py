"""Closeness in a run folder: what is measured, and how the report shows it next to the scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from cotdistill.cli.main import main
from cotdistill.closeness.measures import closeness_of
from cotdistill.errors import DataError
from cotdistill.files.jsonl import write_rows
from cotdistill.files.ledger import Ledger, LedgerFile, write_ledger
from cotdistill.results.closeness_of_runs import read_closeness, to_measure
from cotdistill.results.report.report import report
from run_folder import add_run, add_scores, add_training, add_untrained
from tiny_models import build

ARMS = ("l1", "l2", "l3", "l4", "l5")


def put(folder: Path, arms: Sequence[str] = ARMS, *, scored: bool = True) -> Path:
    """Add a run an arm; a later arm has more right answers."""
    for number, arm in enumerate(arms, start=1):
        run = f"tiny--{arm}--full--s1"
        add_run(folder, run, arm, data=f"data/{arm}.jsonl")
        add_training(folder, run)
        if scored:
            add_scores(folder, run, [place < 6 * number for place in range(40)])
        rows = [{"instruction": f"Add {n} and 3.", "output": f"It is {n + 3}."} for n in range(6)]
        (folder / "data").mkdir(exist_ok=True)
        write_rows(folder / "data" / f"{arm}.jsonl", rows)
    return folder


def measured(folder: Path, arms: Sequence[str] = ARMS) -> Path:
    """Add what the verb writes: a later arm is less likely, and longer."""
    rows = []
    for number, arm in enumerate(arms, start=1):
        for question in range(4):
            trace = closeness_of(
                [-float(number)] * (3 * number + question), [number] * (3 * number + question)
            )
            rows.append({"student": "tiny", "arm": arm, "question": str(question), **vars(trace)})
    path = folder / "closeness" / "tiny.jsonl"
    count = write_rows(path, rows)
    inputs = [LedgerFile.of(folder / "data" / f"{arm}.jsonl", 6) for arm in arms]
    write_ledger(path, Ledger("closeness", tuple(inputs), (LedgerFile.of(path, count),)))
    return path


def test_the_report_shows_closeness_next_to_results_and_how_little_it_shows(tmp_path: Path) -> None:
    measured(put(tmp_path))
    report(tmp_path)
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "## Closeness to tiny" in text
    assert "| arms | tokens | nll | nll_512 | rank | rsr | top1 |" in text
    (row,) = [line for line in text.splitlines() if line.startswith("| 5 |")]
    found = [cell.strip() for cell in row.strip("|").split("|")]
    assert found[1:3] == ["+1.00", "+1.00 (-)"], "length is in the same order: nothing is left"
    assert "5 arms: chance alone reaches 1.00 either way in at most 5 of 100 cases" in text
    assert "a description of the texts, not a forecast" in text
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert page.count("Closeness and results: tiny on digits</h3>") == 1
    csv = (tmp_path / "report" / "figures" / "closeness-tiny-digits.csv").read_text()
    assert csv.splitlines()[:2] == [
        "measure,arm,value,score,low,high",
        f"tokens a response,l1,4.5,{csv.splitlines()[1].split(',', 3)[3]}",
    ]
    assert len(csv.splitlines()) == 1 + 6 * len(ARMS)


def test_folders_share_a_page_and_each_is_compared_with_its_own_scores(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    measured(put(first))
    arms = ("l4", "l3", "other")
    measured(put(second, arms), arms)
    report(first, more=[second], out=tmp_path / "both")
    text = (tmp_path / "both" / "report.md").read_text(encoding="utf-8")
    assert "## Closeness to tiny in first" in text
    assert "## Closeness to tiny in second" in text
    assert "| second/l4 |" in text.split("## Closeness to tiny in second")[1]
    (one, two) = [line for line in text.splitlines() if line.startswith(("| first | ", "| sec"))
                  and line.count("(") > 2]  # fmt: skip
    assert one.startswith("| first | 5 | +1.00 |")
    assert two.startswith("| second | 3 | +1.00 |")
    figures = sorted(path.name for path in (tmp_path / "both/figures").glob("closeness-*.svg"))
    assert figures == ["closeness-first-tiny-digits.svg", "closeness-second-tiny-digits.svg"]


def test_two_arms_are_shown_and_not_correlated(tmp_path: Path) -> None:
    measured(put(tmp_path, ARMS[:2]), ARMS[:2])
    report(tmp_path)
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "## Closeness to tiny" in text
    assert "## Closeness and results" not in text
    assert not list((tmp_path / "report" / "figures").glob("closeness-*"))


def test_rows_that_have_changed_since_are_named(tmp_path: Path) -> None:
    path = measured(put(tmp_path))
    data = tmp_path / "data" / "l2.jsonl"
    write_ledger(data, Ledger("generate", outputs=(LedgerFile("l2.jsonl", 6, "0" * 64),)))
    (one,) = read_closeness(tmp_path)
    assert one.changed == ("l2",)
    report(tmp_path)
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "measured on other rows than there are now: l2" in text
    assert path.is_file()


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("{", "closeness/tiny.jsonl:21"),
        ('{"student": "tiny"}', "tiny.jsonl:21: no tokens, nll, nll_512, rank, rsr, top1, arm"),
        ("[]", "closeness/tiny.jsonl:21"),
    ],
)
def test_a_damaged_file_is_named(
    tmp_path: Path, line: str, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = measured(put(tmp_path))
    with path.open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")
    assert main(["report", str(tmp_path)]) == 1
    printed = capsys.readouterr().err
    assert wrong in printed
    assert "Traceback" not in printed


def test_an_unfinished_file_has_no_ledger_and_is_refused(tmp_path: Path) -> None:
    path = measured(put(tmp_path))
    path.with_suffix(".ledger.json").unlink()
    with pytest.raises(DataError, match="no such ledger"):
        read_closeness(tmp_path)


def test_a_run_folder_says_what_is_to_be_measured(tmp_path: Path) -> None:
    put(tmp_path, ARMS[:2], scored=False)
    add_untrained(tmp_path, "tiny--untouched")
    (tmp_path / "train").mkdir()
    for arm in ARMS[:2]:
        settings = {"model_name_or_path": "some/model", "model_revision": "abc"}
        (tmp_path / "train" / f"tiny--{arm}--full--s1.yaml").write_text(json.dumps(settings))
    (one,) = to_measure(tmp_path)
    assert (one.student, one.model, one.revision, list(one.arms)) == (
        "tiny", "some/model", "abc", ["l1", "l2"],
    )  # fmt: skip
    assert one.output == tmp_path / "closeness" / "tiny.jsonl"
    with pytest.raises(DataError, match="no pretrained student 'large'"):
        to_measure(tmp_path, "large")
    (tmp_path / "data" / "l2.jsonl").unlink()
    with pytest.raises(DataError, match=r"l2\.jsonl: no such file; make the arms' rows first"):
        to_measure(tmp_path)


def test_a_run_folder_without_two_arms_says_how_files_are_measured(tmp_path: Path) -> None:
    put(tmp_path, ARMS[:1], scored=False)
    (tmp_path / "train").mkdir(exist_ok=True)
    (tmp_path / f"train/tiny--{ARMS[0]}--full--s1.yaml").write_text("{}")
    with pytest.raises(DataError, match=r"two arms; .*cotdistill closeness NAME=FILE NAME=FILE"):
        to_measure(tmp_path)


def test_a_run_folder_is_measured_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers")
    model = build(tmp_path / "model", seed=3)
    folder = put(tmp_path / "run", ARMS[:3])
    (folder / "train").mkdir()
    for arm in ARMS[:3]:
        settings = {"model_name_or_path": str(model)}
        (folder / "train" / f"tiny--{arm}--full--s1.yaml").write_text(json.dumps(settings))
    assert main(["closeness", str(folder), "--questions", "3"]) == 0
    assert "3 questions that all arms have" in capsys.readouterr().out
    (one,) = read_closeness(folder)
    assert (one.student, list(one.arms), one.questions) == ("tiny", list(ARMS[:3]), 3)
    assert main(["report", str(folder)]) == 0
    assert main(["closeness", str(folder), "-o", "rows.jsonl"]) == 2
    assert "leave -o, --score and --revision out" in capsys.readouterr().err
    assert main(["closeness", "one=a.jsonl"]) == 2
    assert "which student?" in capsys.readouterr().err
