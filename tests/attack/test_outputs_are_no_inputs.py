"""An output that is an input under any name is refused before the first byte is written."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from attack.children import outcomes
from attack.folders import hashes
from attack.verbs import VERBS, Verb, run_folder, scores, study, traces
from cotdistill.cli.main import main

FILES = [verb for verb in VERBS for name in ("lint", "filter", "mix", "grade", "granularity")
         if verb.name == name]  # fmt: skip
POINTED = [(verb, option) for verb in VERBS for option in verb.outputs if verb.reads]


def statuses(folder: Path, commands: list[str]) -> list[tuple[str, int, str]]:
    """Return each command, its status, and what it printed; they are run in a child."""

    def run(command: str) -> int:
        with contextlib.chdir(folder):
            return main(command.split())

    found = outcomes(commands, run)
    assert [outcome.ended for outcome in found] == ["fine"] * len(commands)
    return [
        (command, int(str(outcome.result)), outcome.printed)
        for command, outcome in zip(commands, found, strict=True)
    ]


def refused(folder: Path, commands: list[str], count: Counter[str]) -> None:
    before = hashes(folder)
    for command, status, printed in statuses(folder, commands):
        assert status == 2, f"{command}: {status}: {printed}"
        expected = ("is an input", "is inside", "rows are JSON Lines")
        assert any(words in printed for words in expected), f"{command}: {printed}"
        assert hashes(folder) == before, command
    count["outputs pointed at inputs"] += len(commands)


@pytest.mark.parametrize(
    ("verb", "option"), POINTED, ids=lambda value: getattr(value, "name", value)
)
def test_no_option_takes_an_input_by_name_link_or_detour(
    verb: Verb, option: str, tmp_path: Path, count: Counter[str]
) -> None:
    verb.make(tmp_path, 1)
    words = verb.words.replace("{server}", "http://127.0.0.1:9/v1").split()
    place = words.index(option) + 1 if option in words else 0
    commands = []
    for name in verb.reads:
        if Path(name).name == words[place]:
            continue  # the output of the command itself
        at = tmp_path / name
        link, hard = tmp_path / f"link-{at.name}", tmp_path / f"hard-{at.name}"
        link.symlink_to(at)
        os.link(at, hard)
        for named in (name, f"./x/../{name}", str(at), link.name, hard.name):
            commands.append(" ".join([*words[:place], named, *words[place + 1 :]]))
    (tmp_path / "x").mkdir()
    refused(tmp_path, commands, count)


@pytest.mark.parametrize("verb", FILES, ids=lambda verb: verb.name)
def test_a_file_takes_the_place_of_a_link_and_what_it_leads_to_stays(
    verb: Verb, tmp_path: Path, part_of: Any, count: Counter[str]
) -> None:
    assert len(FILES) == 5
    mine, words = tmp_path / "mine", verb.words.split()
    (mine / "folder").mkdir(parents=True)
    for name in ("file", "folder/file"):
        (mine / name).write_text("mine")
    before = hashes(mine)
    verb.make(tmp_path, 1)
    for option in verb.outputs:
        output = tmp_path / words[words.index(option) + 1]
        for name in part_of(("file", "folder", "nothing"), 3):
            output.unlink(missing_ok=True)
            output.symlink_to(mine / name)
            ((_, status, printed),) = statuses(tmp_path, [verb.words])
            assert status == int(verb.finds), printed
            assert not output.is_symlink()
            assert output.stat().st_size > len("mine")
            assert hashes(mine) == before
            count["outputs at links"] += 1


def test_an_output_folder_may_be_a_link_and_stays_one(tmp_path: Path, count: Counter[str]) -> None:
    (merge,) = (verb for verb in VERBS if verb.name == "merge")
    merge.make(tmp_path, 1)
    (tmp_path / "out").symlink_to(tmp_path / "disk" / "merged")  # leads nowhere yet
    for _ in range(2):
        ((_, status, printed),) = statuses(tmp_path, [merge.words])
        assert status == 0, printed
        assert (tmp_path / "out").is_symlink()
        assert (tmp_path / "disk" / "merged" / "model.safetensors.index.json").is_file()
        count["outputs at links"] += 1
    assert not list(tmp_path.rglob("*~"))


def test_a_folder_cannot_be_where_a_link_leads_nowhere(tmp_path: Path, count: Counter[str]) -> None:
    traces(tmp_path)
    run_folder(tmp_path)
    (tmp_path / "out").symlink_to(tmp_path / "nowhere")
    teach = "teach golds.jsonl --model m --endpoint http://127.0.0.1:9/v1 -o out"
    commands = [teach, "import-traces a.jsonl -o out", "export r -o out", "report r -o out"]
    for command, status, printed in statuses(tmp_path, commands):
        assert status == 1, f"{command}: {printed}"
        assert "a part of the path is a file, or a link that leads nowhere" in printed
        count["outputs at links"] += 1
    assert not (tmp_path / "nowhere").exists()


def test_names_that_are_derived_from_an_output_are_no_inputs_either(
    tmp_path: Path, count: Counter[str]
) -> None:
    traces(tmp_path)
    for name in ("k.rejected.jsonl", "k.parquet", "k.a.jsonl", "out/a.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((tmp_path / "a.jsonl").read_bytes())
    (tmp_path / "m.jsonl.journal").mkdir()
    (tmp_path / "m.jsonl.journal" / "mine.jsonl").write_bytes((tmp_path / "a.jsonl").read_bytes())
    (tmp_path / "k.ledger.json").write_bytes((tmp_path / "alpaca.json").read_bytes())
    refused(
        tmp_path,
        [
            "filter k.rejected.jsonl -o k.jsonl --workers 1",
            "filter a.jsonl --against k.rejected.jsonl -o k.jsonl --workers 1",
            "filter a.jsonl --golds k.ledger.json -o k.jsonl --workers 1",
            "filter k.a.jsonl a.jsonl --split -o k.jsonl --workers 1",
            "filter m.jsonl.journal/mine.jsonl -o m.jsonl --workers 1",
            "mix one=a.jsonl=1 two=k.ledger.json=1 -o k.jsonl",
            "mix one=a.jsonl=1 two=k.parquet=1 -o k.jsonl --parquet",
            "import-traces out/a.jsonl -o out",
            "granularity a.jsonl b.jsonl --rows ./b.jsonl --picture p.svg",
        ],
        count,
    )


def test_the_folder_of_an_interrupted_job_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    traces(tmp_path)
    (tmp_path / "k.jsonl.journal").mkdir()
    (tmp_path / "k.jsonl.journal" / "diary.txt").write_text("mine")
    ((_, status, printed),) = statuses(tmp_path, ["filter a.jsonl -o k.jsonl --workers 1"])
    assert status == 1
    assert "k.jsonl.journal: holds diary.txt" in printed
    assert (tmp_path / "k.jsonl.journal" / "diary.txt").read_text() == "mine"


def test_samples_golds_and_results_are_no_cache_and_no_verdicts(
    tmp_path: Path, count: Counter[str]
) -> None:
    scores(tmp_path)
    samples = next((tmp_path / "scores" / "one").rglob("samples_*"))
    (samples.parent / "judged").mkdir()
    golds = samples.parent / "judged" / "agreement_digits.json"
    golds.write_text('[{"question": "What is 0 + 1?", "gold": "1"}]')
    judge = "judge scores/one --model m --endpoint http://127.0.0.1:9/v1"
    refused(tmp_path, [f"{judge} --golds {golds}", f"{judge} --cache {samples}"], count)


def test_a_cache_is_only_what_a_judge_has_written(tmp_path: Path) -> None:
    scores(tmp_path)
    results = next((tmp_path / "scores" / "one").rglob("results_*"))
    before = hashes(tmp_path)
    judge = f"judge scores/one --model m --endpoint http://127.0.0.1:9/v1 --cache {results}"
    ((_, status, printed),) = statuses(tmp_path, [judge])
    assert status == 1
    assert "not a line of a journal" in printed
    assert hashes(tmp_path) == before


def test_a_study_is_not_made_from_files_that_its_folder_replaces(
    tmp_path: Path, count: Counter[str]
) -> None:
    study(tmp_path)
    text = (tmp_path / "study.yaml").read_text()
    for name in ("data", "train", "data/filtered"):
        (tmp_path / "g" / name).mkdir(parents=True)
    for name in ("g/data/own.jsonl", "g/data/filtered/rows.jsonl", "g/dataset_info.json"):
        (tmp_path / name).write_bytes((tmp_path / "rows.jsonl").read_bytes())
        rows = text.replace("rows.jsonl", name)
        (tmp_path / f"{Path(name).parent.name}-{Path(name).name}.yaml").write_text(rows)
    (tmp_path / "g" / "manifest.jsonl").write_text("")
    (tmp_path / "g" / "train" / "mine.yaml").write_text(text.replace("rows.j", "../../rows.j"))
    studies = sorted(tmp_path.glob("*.jsonl.yaml"))
    assert len(studies) == 2
    commands = [f"generate {path} -o g" for path in [*studies, tmp_path / "g/train/mine.yaml"]]
    refused(tmp_path, commands, count)


def test_prepared_questions_are_not_prepared_from_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: Counter[str]
) -> None:
    monkeypatch.setenv("COTDISTILL_DATA", str(tmp_path / "data"))
    (tmp_path / "data" / "gsm8k").mkdir(parents=True)
    rows = '{"question": "Eve has a fig and gets one. How many?", "answer": "#### 2"}\n'
    (tmp_path / "data" / "gsm8k" / "test.jsonl").write_text(rows)
    (tmp_path / "test.jsonl").symlink_to(tmp_path / "data" / "gsm8k" / "test.jsonl")
    prepare = "prepare gsm8k --split test --any-size --from"
    refused(tmp_path, [f"{prepare} data/gsm8k/test.jsonl", f"{prepare} test.jsonl"], count)


def test_a_report_is_written_next_to_what_it_reads(tmp_path: Path) -> None:
    run_folder(tmp_path)
    before = hashes(tmp_path)
    ((_, status, printed),) = statuses(tmp_path, ["report r"])
    assert status == 0, printed
    after: dict[str, Any] = hashes(tmp_path)
    assert {name: after[name] for name in before} == before
