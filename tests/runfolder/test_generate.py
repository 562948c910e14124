"""A study becomes a run folder: the same bytes, all files as meant, nothing where it is wrong."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from cotdistill.cli.main import main
from cotdistill.errors import FaultsError
from cotdistill.files import atomic as whole
from cotdistill.hosts.llamafactory.arguments import accepted_by_llamafactory
from cotdistill.runfolder.config_files import argument_faults
from cotdistill.runfolder.generate import Generated, check_study_files, generate
from cotdistill.runfolder.job import Jobs, read_declared_jobs
from cotdistill.runfolder.manifest import read_manifest
from cotdistill.runfolder.run_lock import working_alone
from cotdistill.studies.load import load_study, shipped_studies
from svamp_files import write_svamp_files

Study = dict[str, Any]
WriteStudy = Callable[[Study], Path]
GOLDEN = Path(__file__).parent / "golden"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def errors(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.strip()


def made(study: Study, study_file: WriteStudy, folder: Path) -> Generated:
    return generate(str(study_file(study)), folder)


def declared(folder: Path) -> Jobs:
    jobs = read_declared_jobs(folder)
    assert jobs is not None
    return jobs


def test_every_run_has_its_files(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    small_study["recipes"]["lora"] = {**small_study["recipes"]["full"], "template": "lora"}
    small_study["seeds"] = [1, 2]
    done = made(small_study, study_file, tmp_path / "run")
    assert len(done.new) == 1 * 2 * 2 * 2
    assert done.new[0] == "tiny--answer-only--full--s1"
    jobs = declared(tmp_path / "run")
    for run in read_manifest(tmp_path / "run"):
        for file in (run.files.train, run.files.export, run.files.eval, run.files.data):
            if file:
                assert (tmp_path / "run" / file).is_file()
        assert (run.files.export is not None) == (run.recipe == "lora")
        assert (("export", run.run) in jobs) == (run.recipe == "lora")


def test_the_same_study_gives_the_same_bytes_and_touches_nothing(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    made(small_study, study_file, folder)
    first = contents(folder)
    times = {name: (folder / name).stat().st_mtime_ns for name in first}
    again = made(small_study, study_file, folder)
    assert contents(folder) == first
    assert {name: (folder / name).stat().st_mtime_ns for name in first} == times
    assert (again.new, again.changed, again.stale) == ((), (), ())
    shutil.rmtree(folder)
    made(small_study, study_file, folder)
    assert contents(folder) == first


def test_the_resolved_study_makes_the_same_run_folder(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    made(small_study, study_file, folder)
    first = contents(folder)
    again = generate(str(folder / "study.yaml"), folder)
    assert again.unchanged == tuple(run.run for run in read_manifest(folder))
    assert contents(folder) == first


def test_a_changed_knob_changes_only_what_depends_on_it(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    small_study["recipes"]["slow"] = {**small_study["recipes"]["full"], "learning_rate": 1e-5}
    made(small_study, study_file, folder)
    (folder / "checkpoints" / "tiny--fine--slow--s42").mkdir(parents=True)
    (folder / "scores" / "tiny--fine--slow--s42").mkdir(parents=True)
    (folder / "checkpoints" / "tiny--fine--full--s42").mkdir(parents=True)
    before = contents(folder)
    small_study["recipes"]["slow"]["learning_rate"] = 2e-5
    done = made(small_study, study_file, folder)
    assert done.changed == ("tiny--answer-only--slow--s42", "tiny--fine--slow--s42")
    assert done.stale == ("checkpoints/tiny--fine--slow--s42", "scores/tiny--fine--slow--s42")
    after = contents(folder)
    assert {name for name in before if before[name] != after[name]} == {
        "study.yaml",
        "manifest.jsonl",
        "jobs.jsonl",
        "train/tiny--answer-only--slow--s42.yaml",
        "train/tiny--fine--slow--s42.yaml",
    }


def test_a_changed_evaluation_leaves_checkpoints_fresh(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    made(small_study, study_file, folder)
    for kind in ("checkpoints", "scores"):
        (folder / kind / "tiny--fine--full--s42").mkdir(parents=True)
    small_study["evaluation"]["limit"] = 3
    assert made(small_study, study_file, folder).stale == ("scores/tiny--fine--full--s42",)


def test_a_run_that_left_the_study_loses_its_files_but_not_its_results(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    made(small_study, study_file, folder)
    result = folder / "checkpoints" / "tiny--answer-only--full--s42" / "model.safetensors"
    result.parent.mkdir(parents=True)
    result.write_text("weights")
    del small_study["arms"]["answer-only"]
    done = made(small_study, study_file, folder)
    assert done.dropped == ("tiny--answer-only--full--s42",)
    assert not (folder / "train" / "tiny--answer-only--full--s42.yaml").exists()
    assert result.read_text() == "weights"


def test_numbers_and_words_are_written_so_that_both_readers_agree(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    small_study["recipes"]["full"]["learning_rate"] = 1e-5
    small_study["recipes"]["full"]["settings"] = {"save_strategy": "no", "weight_decay": 1e-7}
    made(small_study, study_file, tmp_path / "run")
    text = (tmp_path / "run" / "train" / "tiny--fine--full--s42.yaml").read_text()
    assert "learning_rate: 1.0e-05\n" in text
    assert "save_strategy: 'no'\n" in text
    assert "weight_decay: 1.0e-07\n" in text
    read = yaml.safe_load(text)
    assert read["learning_rate"] == 1e-5
    assert read["save_strategy"] == "no"


def test_the_header_is_the_stock_command_and_run_evaluates_by_the_resumable_one(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    made(small_study, study_file, tmp_path / "run")
    jobs = declared(tmp_path / "run")
    for run in read_manifest(tmp_path / "run"):
        train = (tmp_path / "run" / str(run.files.train)).read_text()
        assert f"# Run it:  {' '.join(jobs['train', run.run].command)}\n" in train
        score = tmp_path / "run" / run.files.eval
        assert f"# Run it:  lm-eval run --config {score}\n" in score.read_text()
        command = jobs["evaluate", run.run].command
        assert command == ("cotdistill", "eval", "run", "--config", str(score))


def test_torchrun_is_asked_for_where_several_gpus_train(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    small_study["hardware"] = {"gpus": 4, "nodes": 2}
    small_study["recipes"]["full"] |= {"per_device_batch": 1, "deepspeed": "z3"}
    made(small_study, study_file, tmp_path / "run")
    train = declared(tmp_path / "run")["train", "tiny--fine--full--s42"]
    assert train.env == {"FORCE_TORCHRUN": "1", "NPROC_PER_NODE": "4", "NNODES": "2"}
    assert train.gpus == 4
    assert json.loads((tmp_path / "run" / "deepspeed" / "z3.json").read_text())


def test_an_environment_stands_before_the_command(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "python").touch()
    small_study["environments"] = {
        "train": "conda run -n train",
        "evaluate": str(tmp_path / "venv"),
    }
    made(small_study, study_file, tmp_path / "run")
    jobs = declared(tmp_path / "run")
    run = "tiny--fine--full--s42"
    assert jobs["prepare", "fine"].own == ()
    assert jobs["train", run].command[:5] == ("conda", "run", "-n", "train", "llamafactory-cli")
    assert jobs["evaluate", run].command[0] == str(tmp_path / "venv" / "bin" / "cotdistill")


def test_arms_of_other_sizes_are_reported_to_differ_in_steps(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    small_study["arms"]["fine"]["rows"] = 44
    assert made(small_study, study_file, tmp_path / "run").unequal == ""  # max_steps: equal
    del small_study["recipes"]["full"]["max_steps"]
    small_study["recipes"]["full"]["epochs"] = 1
    assert made(small_study, study_file, tmp_path / "run").unequal.startswith(
        "arms differ in rows, from 40 (answer-only) to 44 (fine), and so in steps"
    )


def test_a_mix_has_exact_counts_and_a_ledger(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    small_study["arms"]["mixed"] = {"mix": {"answer-only": 0.2, "fine": 0.8}, "rows": 33}
    made(small_study, study_file, tmp_path / "run")
    rows = [
        json.loads(line)
        for line in (tmp_path / "run" / "data" / "mixed.jsonl").read_text().splitlines()
    ]
    fine = [row for row in rows if "\n" in row["output"]]
    assert (len(rows), len(fine)) == (33, 26)  # 0.8 of 33 is 26.4
    ledger = json.loads((tmp_path / "run" / "data" / "mixed.ledger.json").read_text())
    assert ledger["counts"] == {"kept": 33, "not_drawn": 47}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"arms": {"a": {"dataset": "gsm8"}}}, "arms.a: unknown dataset 'gsm8'; did you mean"),
        ({"students": ["Qwen2.5-0.5B-Instrct"]}, "did you mean 'Qwen2.5-0.5B-Instruct'?"),
        (
            {"evaluation": {"tasks": ["cot_gsm8"]}},
            "evaluation.tasks: unknown task 'cot_gsm8'; did you mean 'cot_gsm8k'?",
        ),
        (
            {"recipes": {"r": {"template": "ful", "epochs": 1}}},
            "recipes.r: unknown template 'ful'; did you mean 'full'?",
        ),
        (
            {"recipes": {"r": {"epochs": 1, "global_batch": 7, "per_device_batch": 2}}},
            "global_batch 7 cannot be met by 2 a device on 1 device; expected a multiple of 2; "
            "use a global_batch of 6 or 8, or a per_device_batch of 1",
        ),
        ({"arms": {"a": {"file": "nowhere.jsonl"}}}, "nowhere.jsonl; expected a .jsonl or .json"),
        ({"seeds": [1, 1]}, "seeds: 1 is there twice; each random seed is one run"),
        (
            {"recipes": {"r": {"epochs": 1, "settings": {"lora_rnk": 3}}}},
            "unknown to LLaMA-Factory 0.9.5; did you mean 'lora_rank'?",
        ),
        (
            {"recipes": {"r": {"epochs": 1, "settings": {"weight_decay": "a lot"}}}},
            "weight_decay: text 'a lot'; expected",
        ),
        ({"arms": {"a": {"mix": {"nothing": 1.0}}}}, "arms.a.mix: unknown source 'nothing'"),
        ({"arms": {"a": {"puzzles": "digit-sums", "level": 3}}}, "did you mean 'digit-sum'?"),
        ({"arms": {"a": {"puzzles": "digit-sum", "level": 9}}}, "unknown level 9"),
        ({"seeds": []}, "seeds: nothing; expected at least one entry"),
        (
            {"evaluation": {"tasks": ["cot_puzzles_ball"], "batch_size": 0}},
            "evaluation.batch_size: 0 is no batch size; use a number of 1 or more, or 'auto'",
        ),
    ],
)
def test_what_cannot_be_meant_gets_a_clear_line_and_writes_nothing(
    small_study: Study,
    study_file: WriteStudy,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Study,
    line: str,
) -> None:
    file = study_file({**small_study, **change})
    assert main(["generate", str(file), "-o", str(tmp_path / "run")]) == 1
    assert line in errors(capsys)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("d.jsonl", "", "d.jsonl: the file is empty"),
        ("d.jsonl", '{"question": "q", "answer": "a"}\n{oops\n', "d.jsonl:2: not JSON"),
        ("d.jsonl", "[1]\n", "d.jsonl: row 1: a number; expected an object"),
        ("d.json", '{"a": 1}', "d.json: a JSON object; expected a JSON array of objects"),
        ("d.json", "[1, ", "d.json:1: not JSON"),
        (
            "d.jsonl",
            '{"question": "q", "answer": "a"}\n{"question": "q"}\n',
            "d.jsonl: row 2: no column 'answer'; expected text in every mapped column; "
            "the row has: question",
        ),
        (
            "d.jsonl",
            '{"question": "q", "answer": 3}\n',
            "d.jsonl: row 1: no text in column 'answer'",
        ),
        ("d.jsonl", b'{"question": "\xff"}\n', "d.jsonl:1: not UTF-8 (byte 0xff)"),
    ],
)
def test_a_bad_data_file_gets_a_clear_line_and_writes_nothing(
    small_study: Study,
    study_file: WriteStudy,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    text: str | bytes,
    line: str,
) -> None:
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    small_study["arms"] = {"a": {"file": name}}
    assert main(["generate", str(study_file(small_study)), "-o", str(tmp_path / "run")]) == 1
    assert line in errors(capsys)
    assert not (tmp_path / "run").exists()


def test_rows_that_lack_a_column_are_dropped_only_where_asked_and_counted(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    (tmp_path / "d.jsonl").write_text(
        '{"question": "q1", "answer": "a1"}\n{"question": "q2"}\n{"question": "q3", "answer": 4}\n'
    )
    small_study["arms"] = {"a": {"file": "d.jsonl", "missing": "drop"}}
    made(small_study, study_file, tmp_path / "run")
    (row,) = (tmp_path / "run" / "data" / "a.jsonl").read_text().splitlines()
    assert json.loads(row) == {"system": "", "instruction": "q1", "output": "a1"}
    ledger = json.loads((tmp_path / "run" / "data" / "a.ledger.json").read_text())
    assert ledger["counts"] == {
        "kept": 1,
        "no column 'answer'": 1,
        "no text in column 'answer'": 1,
    }


def test_a_folder_with_a_blank_is_refused_where_torchrun_would_break(
    small_study: Study,
    study_file: WriteStudy,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    small_study["launcher"] = "torchrun"
    folder = tmp_path / "my runs"
    assert main(["generate", str(study_file(small_study)), "-o", str(folder)]) == 1
    assert "the path holds a blank" in errors(capsys)
    assert not folder.exists()


def test_a_path_through_a_file_gets_a_clear_line(
    small_study: Study,
    study_file: WriteStudy,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "run"
    assert main(["generate", str(study_file(small_study)), "-o", str(folder)]) == 1
    assert "cannot be written: a part of the path is a file" in errors(capsys)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_gets_a_clear_line(
    small_study: Study, study_file: WriteStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = study_file(small_study)
    (tmp_path / "locked").mkdir(mode=0o500)
    assert main(["generate", str(file), "-o", str(tmp_path / "locked" / "run")]) == 1
    assert "cannot be written: the folder may not be written" in errors(capsys)


def test_a_full_disk_leaves_no_half_written_file(
    small_study: Study, study_file: WriteStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = os.fsync, []

    def full_after_three(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(whole.os, "fsync", full_after_three)
    folder = tmp_path / "run"
    with pytest.raises(FaultsError, match="cannot be written: the disk is full"):
        made(small_study, study_file, folder)
    left = contents(folder)
    assert "manifest.jsonl" not in left
    assert not [name for name in left if name.endswith("~")]
    monkeypatch.setattr(whole.os, "fsync", real)
    made(small_study, study_file, folder)
    whole_folder = contents(folder)
    assert all(whole_folder[name] == data for name, data in left.items())


def test_a_setting_on_the_command_line_wins(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    generate(str(study_file(small_study)), tmp_path / "run", ["seeds=[7]", "evaluation.limit=9"])
    (seed,) = {run.seed for run in read_manifest(tmp_path / "run")}
    assert seed == 7
    assert "limit: 9\n" in (tmp_path / "run/eval/tiny--fine--full--s7.yaml").read_text()


@pytest.mark.parametrize("template", ["full", "lora", "qlora"])
def test_rendered_files_are_as_they_were_agreed_on(
    template: str, small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    """Golden files: render them anew with `make golden` and read the difference."""
    small_study["recipes"] = {"r": {**small_study["recipes"]["full"], "template": template}}
    small_study["students"] = ["Qwen2.5-0.5B-Instruct"]
    made(small_study, study_file, tmp_path / "run")
    folders = {str((tmp_path / "run").resolve()): "RUN"}
    name = "Qwen2.5-0.5B-Instruct--fine--r--s42.yaml"
    text = (tmp_path / "run" / "train" / name).read_text()
    for folder, placeholder in folders.items():
        text = text.replace(folder, placeholder)
    golden = GOLDEN / f"train-{template}.yaml"
    if os.environ.get("COTDISTILL_GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()


def test_a_key_that_an_export_does_not_know_is_named(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    small_study["recipes"] = {"r": {**small_study["recipes"]["full"], "template": "lora"}}
    study, place = load_study(str(study_file(small_study)))
    run, layout, made = check_study_files(study, place, tmp_path / "run").files[0]
    assert made.export is not None
    assert argument_faults(made, layout, "s.yaml") == []
    wrong = replace(made.export, values={**made.export.values, "learning_rate": 1e-4})
    (fault,) = argument_faults(replace(made, export=wrong), layout, "s.yaml")
    assert fault.place == f"s.yaml: export/{run.name}.yaml:learning_rate"


@pytest.mark.parametrize("name", sorted(shipped_studies()))
def test_a_shipped_study_generates(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where a packaged study looks for files of the user's
    write_svamp_files(tmp_path / "data")
    study, _ = load_study(name)
    for questions in study.questions.values():
        if questions.file is not None:
            Path(questions.file).parent.mkdir(exist_ok=True)
            rows = [
                {"question": f"{n} + {n}?", "gold": f"{2 * n}", "rationale": f"It is {2 * n}."}
                for n in range(40)
            ]
            text = "".join(json.dumps(row) + "\n" for row in rows)
            Path(questions.file).write_text(text, encoding="utf-8")
    done = generate(name, tmp_path / "run")
    assert done.new
    assert len(done.new) >= len(study.trained_arms())


@pytest.mark.host
def test_llamafactory_accepts_every_kind_of_generated_file(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    full = small_study["recipes"]["full"]
    small_study["recipes"] = {
        "full": full,
        "zero3": {**full, "deepspeed": "z3"},
        "lora": {**full, "template": "lora"},
        "qlora": {**full, "template": "qlora"},
        "bf16": {**full, "precision": "bf16", "settings": {"neat_packing": True}},
    }
    made(small_study, study_file, tmp_path / "run")
    asked = []
    for run in read_manifest(tmp_path / "run"):
        for kind, file in (("train", run.files.train), ("export", run.files.export)):
            if file:
                text = (tmp_path / "run" / file).read_text()
                asked.append((file, kind, yaml.safe_load(text)))
    assert len(asked) == 2 * 5 + 2 * 2
    assert accepted_by_llamafactory(asked) == []


def test_models_that_no_gpu_holds_are_evaluated_on_several(tmp_path: Path) -> None:
    folder = generate("learnability-gap", tmp_path / "run", ["arms={untouched: {train: none}}"])
    spread = {}
    for run in read_manifest(folder.folder):
        spread[run.student] = yaml.safe_load((folder.folder / run.files.eval).read_text())
    sizes = {name: file["model_args"]["tensor_parallel_size"] for name, file in spread.items()}
    large = {"Qwen2.5-32B-Instruct": 2, "Llama-3.3-70B-Instruct": 4}
    assert sizes == dict.fromkeys(sizes, 1) | large
    jobs = read_declared_jobs(folder.folder)
    assert jobs is not None
    for name, size in sizes.items():
        assert jobs["evaluate", f"{name}--untouched"].gpus == size


def test_a_folder_in_which_a_run_works_is_left_as_it_is(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    made(small_study, study_file, folder)
    small_study["seeds"] = [7]
    with working_alone(folder):
        before = contents(folder)
        with pytest.raises(FaultsError, match=r"another `cotdistill run` works here .*; wait for"):
            made(small_study, study_file, folder)
        assert contents(folder) == before
    made(small_study, study_file, folder)
    assert [run.seed for run in read_manifest(folder)] == [7, 7]
