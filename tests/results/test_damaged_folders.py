"""A run folder with damaged files is refused by name; nothing becomes an empty cell."""

import json
from pathlib import Path

import pytest

from cotdistill.cli.main import main
from cotdistill.errors import DataError
from cotdistill.results.collect import collect
from run_folder import add_run, add_scores, add_training, write_json

RUN = "tiny--fine--full--s42"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    add_run(tmp_path, RUN, "fine")
    add_training(tmp_path, RUN)
    add_scores(tmp_path, RUN, [True] * 30 + [False] * 10)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('{"ce": 1.0, "kd"', "kd_summary.json:1: not JSON"),
        ("[1]", "kd_summary.json: not a JSON object"),
        ('{"ce": "low", "kd": true}', "kd_summary.json: ce: 'low'; expected a number"),
        ("\x00\x01", "kd_summary.json:1: not JSON"),
    ],
)
def test_a_damaged_summary_of_a_distillation_is_named(folder: Path, text: str, wrong: str) -> None:
    (folder / "checkpoints" / RUN / "kd_summary.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        collect(folder)
    assert wrong in str(caught.value)
    assert "remove it to report without these numbers" in str(caught.value)


def test_a_number_that_a_distillation_does_not_have_is_none(folder: Path) -> None:
    summary = {"loss": "words", "ce": 1.5, "kd": None, "kd_share": 0.25, "kd_agreement": None}
    write_json(folder / "checkpoints" / RUN / "kd_summary.json", summary)
    (run,) = collect(folder).runs
    assert run.distilled == {"ce": 1.5, "kd_share": 0.25}


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"notes": []}', '{"notes": {"versions": "0.9.5"}}', '"text"']
)
def test_a_damaged_record_of_a_training_is_named(
    folder: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "done" / "train" / f"{RUN}.json"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    assert main(["report", str(folder)]) == 1
    printed = capsys.readouterr().err
    assert f"done/train/{RUN}.json" in printed
    assert "Traceback" not in printed


def test_all_damaged_files_of_all_runs_are_named_at_once(folder: Path) -> None:
    other = RUN.replace("s42", "s43")
    add_run(folder, other, "fine", seed=43)
    add_training(folder, other)
    add_scores(folder, other, [True] * 30 + [False] * 10)
    for run in (RUN, other):
        (folder / "checkpoints" / run / "kd_summary.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        collect(folder)
    assert [run in str(caught.value) for run in (RUN, other)] == [True, True]


def test_a_record_that_says_why_a_run_was_skipped_is_read(folder: Path) -> None:
    skipped = "tiny--other--full--s42"
    add_run(folder, skipped, "other")
    write_json(
        folder / "done" / "train" / f"{skipped}.json", {"notes": {"skipped": "behind the leader"}}
    )
    states = {run.run: run.state for run in collect(folder).runs}
    assert states[skipped] == "skipped: behind the leader"
    assert json.loads((folder / "manifest.jsonl").read_text().splitlines()[1])["run"] == skipped


def test_a_run_without_samples_says_that_it_is_not_compared(folder: Path) -> None:
    other = RUN.replace("fine", "best")
    add_run(folder, other, "best")
    add_training(folder, other)
    out = add_scores(folder, other, [True] * 40)
    for path in out.glob("samples_*.jsonl"):
        path.unlink()
    found = collect(folder)
    (score,) = found.runs[1].scores
    assert (score.score.value, round(score.score.low, 3)) == (1.0, 0.912), "no interval of 1 to 1"
    (note,) = found.notes
    assert note.startswith(f"{other}: digits: no samples were logged, so its score is not compared")


def test_samples_without_the_metric_of_the_results_say_so(folder: Path) -> None:
    (path,) = folder.rglob("samples_*.jsonl")
    text = path.read_text(encoding="utf-8").replace('"exact_match":', '"another":')
    path.write_text(text, encoding="utf-8")
    assert any(
        "has exact_match, so its score is not compared" in one for one in collect(folder).notes
    )
