"""How an arm's texts end, and filler that makes them as long as another arm's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cotdistill.arms.build import build_arm
from cotdistill.cli.main import main
from cotdistill.errors import DataError, StudyError
from cotdistill.files.ledger import read_ledger
from cotdistill.studies.load import load_study
from cotdistill.studies.resolve_arms import resolve_arms
from trace_rows import write_jsonl

Study = dict[str, Any]
WriteStudy = Callable[[Study], Path]


def mentor_row(number: int, **changes: Any) -> dict[str, Any]:
    """Return a row as Mentor-KD stores its samples: the conclusion is read off as a decimal."""
    row = {
        "input": f"Eva has {number} hens and buys one. How many hens has she?",
        "chain": f"One more than {number} is {number + 1}.",
        "completion": f"{number + 1}.0",
        "answer": str(number + 1),
        "initial_correct": True,
    }
    return {**row, **changes}


@pytest.fixture
def built(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> Callable[[Study, str], list[str]]:
    """Generate a study with some arms, build one, and give its outputs."""

    def build(arms: Study, arm: str) -> list[str]:
        small_study["arms"] = arms
        folder = tmp_path / "run"
        assert main(["generate", str(study_file(small_study)), "-o", str(folder)]) == 0
        text = build_arm(folder, arm).read_text(encoding="utf-8")
        return [json.loads(line)["output"] for line in text.splitlines()]

    return build


@pytest.mark.parametrize(
    ("target", "output"),
    [
        ({}, "One more than 3 is 4.\nThe answer is 4.0"),
        ({"answer": "gold"}, "One more than 3 is 4.\nThe answer is 4"),
        ({"answer": "gold", "separator": " --> "}, "One more than 3 is 4. --> 4"),
        ({"separator": " --> "}, "One more than 3 is 4. --> 4.0"),
    ],
)
def test_an_arm_says_which_answer_its_texts_end_in(
    built: Callable[..., list[str]], tmp_path: Path, target: Study, output: str
) -> None:
    write_jsonl(tmp_path / "hens.jsonl", [mentor_row(3)])
    assert built({"a": {"file": "hens.jsonl", "target": target}}, "a") == [output]


def test_spaces_and_line_breaks_before_a_text_are_left_out_where_the_arm_says_so(
    built: Callable[..., list[str]], tmp_path: Path
) -> None:
    chain = "\n 1. So it is 4.\n2. The answer is 4"
    write_jsonl(tmp_path / "hens.jsonl", [mentor_row(3, chain=chain)])
    arms = {"as-it-is": {"file": "hens.jsonl"}}
    arms["stripped"] = {"file": "hens.jsonl", "target": {"strip": True}}
    assert built(arms, "as-it-is") == [chain]
    assert built(arms, "stripped") == [chain.strip()]


def test_a_stated_answer_is_rewritten_only_if_it_means_the_gold(
    built: Callable[..., list[str]], tmp_path: Path
) -> None:
    chains = ["So it is 4. The answer is 4.0.", "So it is 5. The answer is 5.0."]
    write_jsonl(tmp_path / "hens.jsonl", [mentor_row(3, chain=chain) for chain in chains])
    found = built({"a": {"file": "hens.jsonl", "target": {"answer": "gold"}}}, "a")
    assert found == ["So it is 4. The answer is 4.", "So it is 5. The answer is 5.0."]
    ledger = read_ledger(tmp_path / "run" / "data" / "a.jsonl")
    assert ledger.notes["concludes_otherwise"] == 1


def test_the_gold_of_a_registered_file_comes_from_the_answer_only_file_next_to_it(
    built: Callable[..., list[str]], tmp_path: Path
) -> None:
    row = {"instruction": "Add 1 to 30.", "output": "One more than 30. The answer is 31.0"}
    golds = {"instruction": "Add 1 to 30.", "output": "31"}
    for name, rows in (("SVAMP_ChatGPT_level1_ranked", [row]), ("SVAMP_only_ans", [golds])):
        (tmp_path / f"{name}.json").write_text(json.dumps(rows), encoding="utf-8")
    arm = {"file": "SVAMP_ChatGPT_level1_ranked.json", "target": {"answer": "gold"}}
    assert built({"a": arm}, "a") == ["One more than 30. The answer is 31"]


def test_rows_without_a_gold_are_named_or_dropped_and_counted(
    built: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"instruction": "Add 1 to 3.", "output": "It is 4."},
        {"instruction": "Add 1 to 4.", "output": "It is 5.", "answer": "5"},
    ]
    write_jsonl(tmp_path / "sums.jsonl", rows)
    arm = {"file": "sums.jsonl", "target": {"answer": "gold"}, "missing": "drop"}
    assert built({"a": arm}, "a") == ["It is 5.\nThe answer is 5"]
    assert "1 row" in capsys.readouterr().err
    with pytest.raises(AssertionError):
        built({"a": {**arm, "missing": "refuse"}}, "a")
    assert "no reference answer to train on" in capsys.readouterr().err


def test_a_padded_arm_is_as_long_as_another_with_the_filler_before_the_conclusion(
    built: Callable[..., list[str]], tmp_path: Path
) -> None:
    coarse = [mentor_row(3), mentor_row(5), mentor_row(9)]
    fine = [
        mentor_row(3, chain="She has 3 hens. She buys 1 hen. One more than 3 is 4. So it is 4."),
        mentor_row(5, chain="6."),
    ]
    write_jsonl(tmp_path / "coarse.jsonl", coarse)
    write_jsonl(tmp_path / "fine.jsonl", fine)
    arms = {
        "fine": {"file": "fine.jsonl", "target": {"answer": "gold"}},
        "padded": {
            "file": "coarse.jsonl",
            "target": {"answer": "gold"},
            "pad": {"like": "fine", "filler": "..."},
        },
    }
    found = built(arms, "padded")
    filler = " ".join(["..."] * 12)
    assert found == [
        f"One more than 3 is 4.\n{filler}\nThe answer is 4",
        "One more than 5 is 6.\nThe answer is 6",
    ]
    assert len(found[0].split()) == len(fine[0]["chain"].split()) + 4
    ledger = read_ledger(tmp_path / "run" / "data" / "padded.jsonl")
    assert ledger.notes["padding"] == {"padded": 1, "long_enough": 1}
    assert ledger.counts["not_in_fine"] == 1


@pytest.mark.parametrize(
    ("like", "why"),
    [("nobody", "unknown arm"), ("a", "is this arm"), ("b", "is padded itself"), ("m", "is a mix")],
)
def test_lengths_come_from_another_plain_arm(
    small_study: Study, study_file: WriteStudy, tmp_path: Path, like: str, why: str
) -> None:
    write_jsonl(tmp_path / "hens.jsonl", [mentor_row(3)])
    small_study["arms"] = {
        "a": {"file": "hens.jsonl", "pad": {"like": like}},
        "b": {"file": "hens.jsonl", "pad": {"like": "c"}},
        "c": {"file": "hens.jsonl"},
        "m": {"mix": {"a": 1, "c": 1}},
    }
    path = study_file(small_study)
    with pytest.raises(StudyError, match=why):
        resolve_arms(*load_study(str(path)))


def test_an_arm_whose_rows_have_no_answer_at_all_is_refused(
    built: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_jsonl(tmp_path / "talk.jsonl", [{"instruction": "Greet.", "output": "Hello and"}] * 7)
    with pytest.raises((AssertionError, DataError)):
        built({"a": {"file": "talk.jsonl", "target": {"separator": " --> "}}}, "a")
    assert "7 rows in all have no answer" in capsys.readouterr().err


def test_a_registered_file_of_chains_ends_in_mentor_kds_arrow(
    built: Callable[..., list[str]], tmp_path: Path
) -> None:
    write_rows = [mentor_row(3), mentor_row(5, initial_correct=False, completion="7.0")]
    write_jsonl(tmp_path / "aug/t5_large/svamp_rand3_aug3.json", write_rows)
    arm = {
        "dataset": "mentor_kd_svamp_t5_large",
        "folder": ".",
        "filter": {"grade": "strict"},
        "target": {"answer": "gold", "separator": " --> "},
    }
    assert built({"a": arm}, "a") == ["One more than 3 is 4. --> 4"]
