"""`check` finds what would silently spoil a study, and claims only what it checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cotdistill.arms.build import build_student
from cotdistill.cli.main import main
from cotdistill.preflight.check import check, made_students
from cotdistill.runfolder.generate import generate
from cotdistill.runfolder.manifest import read_manifest
from cotdistill.runs.own_jobs import run_own_job
from trace_rows import write_jsonl

Study = dict[str, Any]
WriteStudy = Callable[[Study], Path]


@pytest.fixture
def folder(small_study: Study, study_file: WriteStudy, tmp_path: Path) -> Path:
    generate(str(study_file(small_study)), tmp_path / "run")
    return tmp_path / "run"


def test_a_good_study_has_no_fault(small_study: Study, study_file: WriteStudy) -> None:
    checked = check(str(study_file(small_study)))
    assert checked.looked_at == ("study small: 2 runs",)
    assert checked.faults == ()


def test_a_bad_study_exits_with_1_and_says_every_fault(
    small_study: Study, study_file: WriteStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    small_study["evaluation"]["tasks"] = ["nonesuch"]
    small_study["recipes"]["full"]["global_batch"] = 9
    assert main(["check", str(study_file(small_study))]) == 1
    shown = capsys.readouterr()
    assert "unknown task 'nonesuch'" in shown.out
    assert "global_batch 9 cannot be met" in shown.out
    assert shown.err.endswith("2 faults\n")


def test_a_file_edited_by_hand_is_named(folder: Path) -> None:
    path = folder / "train" / "tiny--fine--full--s42.yaml"
    path.write_text(path.read_text().replace("0.002", "0.003"))
    (folder / "eval" / "tiny--fine--full--s42.yaml").unlink()
    faults = [str(fault) for fault in check(str(folder)).faults]
    assert len(faults) == 2
    assert "was edited after it was generated; change the study and generate again" in faults[0]
    assert "is missing; generate it again" in faults[1]


def test_rows_that_were_altered_are_named(folder: Path) -> None:
    with (folder / "data" / "fine.jsonl").open("a") as stream:
        stream.write('{"bad')
    (fault,) = check(str(folder)).faults
    assert "data/fine.jsonl: does not match its ledger; generate again" in str(fault)


def test_what_a_run_will_still_make_is_a_note_and_no_fault(
    small_study: Study, study_file: WriteStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_jsonl(tmp_path / "rows.jsonl", [{"instruction": "1 + 1?", "output": "It is 2."}])
    small_study["arms"]["kept"] = {"file": "rows.jsonl", "filter": {"per_question": 1}}
    folder = tmp_path / "run"
    generate(str(study_file(small_study)), folder)
    capsys.readouterr()
    assert main(["check", str(folder)]) == 0
    notes = capsys.readouterr().err
    assert (
        "note: not made yet, so not checked: data/kept.jsonl; make them: cotdistill run " in notes
    )
    run_own_job(folder, "prepare", "kept")
    assert main(["check", str(folder)]) == 0
    assert "not made yet" not in capsys.readouterr().err


def test_rows_that_were_made_and_are_gone_are_a_fault(folder: Path) -> None:
    (folder / "done" / "prepare").mkdir(parents=True)
    (folder / "done" / "prepare" / "fine.json").write_text("{}")
    (folder / "data" / "fine.jsonl").unlink()
    (fault,) = check(str(folder)).faults
    assert "data/fine.jsonl: was prepared and is gone; cotdistill run " in str(fault)


def test_a_folder_that_is_no_run_folder_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(tmp_path)]) == 1
    assert "not a run folder (it has no study.yaml)" in capsys.readouterr().err


def test_a_student_that_is_not_prepared_yet_is_named(folder: Path) -> None:
    run = read_manifest(folder)[0]
    ready, unmade = made_students(folder, [run])
    assert ready == []
    assert unmade == ["models/tiny--answer-only"]


@pytest.mark.host
def test_rows_are_seen_as_llamafactory_trains_on_them(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    full = small_study["recipes"]["full"]
    small_study["recipes"] = {"full": full, "short": {**full, "cutoff_len": 24}}
    del small_study["arms"]["answer-only"]
    folder = tmp_path / "run"
    generate(str(study_file(small_study)), folder)
    build_student(folder, "tiny", "fine")
    checked = check(str(folder), show=1)
    (whole, cut) = checked.rows
    assert (whole.rows, whole.rows_in_file, whole.answers_cut, whole.no_loss) == (40, 40, 0, 0)
    ((prompt_trained, prompt), (answer_trained, answer)) = whole.shown[0]
    assert (prompt_trained, answer_trained) == (False, True)
    assert prompt.endswith("What is the last digit?<|im_end|>\n<|im_start|>assistant\n")
    assert answer.endswith(".<|im_end|>\n")
    assert (cut.answers_cut, cut.prompts_cut) == (40, 40)
    faults = [str(fault) for fault in checked.faults]
    assert len(faults) == 2  # and none about prompts: evaluation uses the training prompt
    assert "evaluation prompts against training prompts, byte for byte" in checked.looked_at
    (note,) = (n for n in checked.notes if not n.startswith(("not compared", "declared: ")))
    assert note.startswith("cot_gsm8k adds the instruction 'Work it out step by step")
    assert faults[0].startswith(
        "tiny--fine--short--s42: 40 of 40 rows lose the end of the response, including the "
        "end-of-text token at cutoff_len 24; a cutoff_len of "
    )


@pytest.mark.host
def test_a_template_that_was_edited_into_an_unknown_one_is_named_by_the_deep_check(
    small_study: Study, study_file: WriteStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del small_study["arms"]["answer-only"]
    folder = tmp_path / "run"
    generate(str(study_file(small_study)), folder)
    build_student(folder, "tiny", "fine")
    path = folder / "train/tiny--fine--full--s42.yaml"
    path.write_text(path.read_text().replace("template: chatml", "template: qwenn"))
    assert main(["check", str(folder), "--deep"]) == 1
    shown = capsys.readouterr()
    assert "train/tiny--fine--full--s42.yaml: was edited after it was generated" in shown.out
    assert "tiny--fine--full--s42: LLaMA-Factory cannot read its rows (ValueError: " in shown.out
    assert "qwenn" in shown.out
    assert "Traceback" not in shown.out + shown.err


@pytest.mark.host
def test_a_damaged_tokenizer_is_named_by_the_deep_check(
    small_study: Study, study_file: WriteStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del small_study["arms"]["answer-only"]
    folder = tmp_path / "run"
    generate(str(study_file(small_study)), folder)
    student = build_student(folder, "tiny", "fine")
    (student / "tokenizer.json").write_text('{"model": {"type": "BPE", "vocab": {"a": "b"}}}')
    assert main(["check", str(folder), "--deep"]) == 1
    shown = capsys.readouterr()
    assert f"{student}: no tokenizer (" in shown.out + shown.err
    assert "Traceback" not in shown.out + shown.err


def test_the_environment_of_a_stage_must_exist(
    small_study: dict[str, Any], study_file: Any, tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "venv/bin").mkdir(parents=True)
    (tmp_path / "venv/bin/python").write_text("")
    small_study["environments"] = {
        "train": str(tmp_path / "venv"),
        "export": "/nowhere/venv",
        "evaluate": "env -u DISPLAY",
        "prepare": "command-of-nowhere run",
    }
    path = study_file(small_study)
    assert main(["check", str(path)]) == 1
    out = capsys.readouterr().out
    missing = f"{tmp_path}/venv/bin/llamafactory-cli"
    assert f"{path}:environments.train: no such program: {missing}; expected a virtual" in out
    assert "environments.export: no such environment or command: /nowhere/venv; expected" in out
    assert "environments.prepare: no such environment or command: command-of-nowhere;" in out
    assert "environments.evaluate" not in out


def test_faults_are_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "quickstart", "--set", "hardware.gpu=1", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"looked_at", "faults", "rows", "notes"}
    (fault,) = found["faults"]
    assert set(fault) == {"place", "wrong", "expected", "remedy"}
    assert fault["remedy"] == "did you mean 'gpus'?"
    assert main(["check", "quickstart", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["faults"] == []
