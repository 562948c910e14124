"""A merge is asked a few questions before it teaches: is its length between two models?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cotdistill.cli.main import main
from cotdistill.errors import DataError
from cotdistill.preflight.plan import plan
from cotdistill.preflight.planned import Assumed
from cotdistill.teach.probe import probe_record
from probed import ask_a_server, decide, probed_study
from slow_server import slow_server
from teacher import write_questions
from tiny_models import build


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(("base", "one", "two")):
        build(tmp_path / name, seed=seed, context=2048)
    write_questions(tmp_path / "q.jsonl", 20)
    return tmp_path


def generated(folder: Path, **changed: Any) -> Path:
    (folder / "s.yaml").write_text(yaml.safe_dump(probed_study(folder, **changed)))
    assert main(["generate", str(folder / "s.yaml"), "-o", str(folder / "run")]) == 0
    return folder / "run"


def jobs_of(root: Path) -> dict[tuple[str, str], dict[str, Any]]:
    found = map(json.loads, (root / "jobs.jsonl").read_text().splitlines())
    return {(job["stage"], job["name"]): job for job in found}


def step(root: Path, stage: str, name: str) -> int:
    return main(["step", stage, name, "--folder", str(root)])


def test_whoever_asks_the_merge_waits_for_its_probe_and_models_are_asked_once(
    folder: Path,
) -> None:
    jobs = jobs_of(generated(folder))
    asked = [name for stage, name in jobs if stage == "probe" and "+" in name]
    assert sorted(asked) == [
        "half+responses", "long+responses", "short+responses", "third+responses"
    ]  # fmt: skip
    for merge in ("half", "third"):
        gate = jobs["probe", merge]
        assert gate["gate"] is True
        assert ["probe", f"{merge}+responses"] in gate["needs"]
        assert ["probe", "short+responses"] in gate["needs"]
        assert ["merge", merge] in jobs["probe", f"{merge}+responses"]["needs"]
        assert ["probe", merge] in jobs["teach", f"by-{merge}"]["needs"]
    assert ["probe", "half"] not in jobs["teach", "by-short"].get("needs", [])
    command = jobs["probe", "half+responses"]["command"]
    taught = jobs["teach", "by-half"]["command"]
    assert command[command.index("--draw") + 1] == "8"
    for option in ("--formats", "--reasoning", "--max-tokens", "--temperature"):
        if option in taught:
            assert command[command.index(option) + 1] == taught[taught.index(option) + 1]
    priced = [
        one for one in plan(str(folder / "s.yaml"), [], Assumed()).asked if one.arm == "probe"
    ]
    assert [(one.model, one.requests) for one in priced] == [
        ("short", 8), ("half", 8), ("long", 8), ("third", 8)
    ]  # fmt: skip


def test_what_is_of_the_teaching_alone_asks_no_model_of_probes_twice(folder: Path) -> None:
    arms = probed_study(folder)["arms"]
    arms["by-half"]["teach"] |= {"budget_tokens": 1000}
    jobs = jobs_of(generated(folder, arms=arms))
    asked = [name for stage, name in jobs if stage == "probe" and "+" in name]
    assert sorted(asked) == [
        "half+responses", "long+responses", "short+responses", "third+responses"
    ]  # fmt: skip


def test_a_merge_between_the_two_teaches_and_one_that_is_not_stops_its_arm_alone(
    folder: Path,
) -> None:
    root = generated(folder)
    with slow_server(decide) as server:
        ask_a_server(root, server.url)
        for merge in ("half", "third"):
            assert step(root, "merge", merge) == 0
        for name in ("short", "half", "long", "third"):
            assert step(root, "probe", f"{name}+responses") == 0
        drawn = {body["messages"][-1]["content"] for body in server.bodies}
        assert len(drawn) == 8, "the same questions for each model"
        assert step(root, "probe", "half") == 0
        assert step(root, "teach", "by-half") == 0
        assert step(root, "probe", "third") == 1
        printed = (root / "logs" / "probe" / "third.log").read_text()
        assert "it writes 402 tokens, no fewer than long (202)" in printed
        assert "change its weights, or say models.third.probe.required: false" in printed
        asked = len(server.bodies)
        assert step(root, "teach", "by-third") == 1
        assert len(server.bodies) == asked
        declared = yaml.safe_load((root / "study.yaml").read_text())
        declared["models"]["third"]["probe"]["required"] = False
        (root / "study.yaml").write_text(yaml.safe_dump(declared))
        assert step(root, "probe", "third") == 0, "it only says so"
        assert step(root, "teach", "by-third") == 0
    record = json.loads((root / "probe" / "half.json").read_text())
    tokens = {name: one["tokens"]["value"] for name, one in record["models"].items()}
    assert tokens["short"] < tokens["half"] < tokens["long"]
    assert record["wrong"] == []
    assert record["above_short"]["low"] > 0
    assert json.loads((root / "probe" / "third.json").read_text())["wrong"]


def responses(folder: Path, tokens: list[int], **given: Any) -> Path:
    """Write what `teach` leaves: a trace a question, cut ones as failures."""
    folder.mkdir()
    cut = given.pop("cut", 0)
    kept = [
        {"question": f"q{n}", "rationale": given.get("text", "\\boxed{1}"),
         "meta": {"correct": given.get("correct", True)},
         "provenance": {"tokens": count, "finish_reason": "stop"}}
        for n, count in enumerate(tokens) if n >= cut
    ]  # fmt: skip
    lost = [{"question": f"q{n}", "state": "cut", "tokens": tokens[n]} for n in range(cut)]
    for name, rows in (("traces.jsonl", kept), ("failures.jsonl", lost)):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.mark.parametrize(
    ("short", "merge", "long", "wrong"),
    [
        ({"tokens": [90] * 9}, {"tokens": [100] * 9}, {"tokens": [80] * 9}, "nothing between them"),
        ({"tokens": [90] * 9}, {"tokens": [80] * 9}, {"tokens": [200] * 9}, "no more than short"),
        ({"tokens": [90] * 9}, {"tokens": [300] * 9}, {"tokens": [200] * 9}, "no fewer than long"),
        (
            {"tokens": [90] * 9}, {"tokens": [100] * 9, "correct": False}, {"tokens": [200] * 9},
            "solves none of 9",
        ),
    ],
)  # fmt: skip
def test_a_merge_is_not_intermediate_if(
    tmp_path: Path, short: Any, merge: Any, long: Any, wrong: str
) -> None:
    folders = {
        "short": responses(tmp_path / "s", **short),
        "merge": responses(tmp_path / "m", **merge),
        "long": responses(tmp_path / "l", **long),
    }
    found = probe_record("merge", "short", "long", folders, required=True)
    assert any(wrong in line for line in found.wrong), found.wrong


def test_truncated_responses_count_and_small_differences_are_not_shown(tmp_path: Path) -> None:
    folders = {
        "short": responses(tmp_path / "s", [50, 150, 90, 110], text="no box"),
        "merge": responses(tmp_path / "m", [140, 60, 120, 100]),
        "long": responses(tmp_path / "l", [512, 512, 300, 400], cut=2),
    }
    found = probe_record("merge", "short", "long", folders, required=True)
    assert found.wrong == ()
    long = found.models["long"]
    assert (long.tokens.value, long.stopped.value, long.boxed.value) == (431.0, 0.5, 0.5)
    assert long.correct is not None
    assert long.correct.value == 0.5
    assert found.models["short"].boxed.value == 0
    notes = "\n".join(found.notes)
    assert "4 questions do not show a difference in length from short: 5 [" in notes
    assert "50% of long's responses were truncated" in notes
    shown = found.table()
    assert shown.rows[0][0] == "short"
    assert "merge is between short and long" in shown.notes[-1]


def test_models_that_answered_no_common_question_are_a_fault(tmp_path: Path) -> None:
    folders = {
        "short": responses(tmp_path / "s", []),
        "merge": responses(tmp_path / "m", [100] * 3),
        "long": responses(tmp_path / "l", [200] * 3),
    }
    with pytest.raises(DataError, match="0 questions that all of short, merge, long answered"):
        probe_record("merge", "short", "long", folders, required=True)


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        ({"short": "shrt"}, "no model 'shrt'"),
        ({"short": "long"}, "compares a model with itself"),
        ({"short": "tiny"}, "cannot be asked"),
        ({"questions": 1}, "greater than or equal to 2"),
    ],
)
def test_what_is_wrong_with_a_probe_is_said(
    folder: Path, probe: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    declared = probed_study(folder)
    declared["models"]["half"]["probe"].update(probe)
    (folder / "s.yaml").write_text(yaml.safe_dump(declared))
    assert main(["generate", str(folder / "s.yaml"), "-o", str(folder / "run")]) == 1
    assert message in capsys.readouterr().err


def test_a_probe_of_a_merge_that_teaches_nothing_is_a_fault(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declared = probed_study(folder)
    del declared["arms"]["by-third"]
    (folder / "s.yaml").write_text(yaml.safe_dump(declared))
    assert main(["check", str(folder / "s.yaml")]) == 1
    assert "'third' teaches no arm, so nothing says how to ask it" in capsys.readouterr().out


def test_merges_that_are_compared_with_probed_merges_wait_for_no_gate(folder: Path) -> None:
    study = probed_study(folder)
    third = study["models"]["third"]
    study["models"]["third"] = third | {"probe": third["probe"] | {"short": "half"}}
    study["models"] = dict(reversed(study["models"].items()))
    (folder / "s.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    assert main(["generate", str(folder / "s.yaml"), "-o", str(folder / "run")]) == 0
    jobs = jobs_of(folder / "run")
    assert ["merge", "half"] in jobs["probe", "half+responses"]["needs"]
    assert ["probe", "half"] not in jobs["probe", "half+responses"]["needs"]
