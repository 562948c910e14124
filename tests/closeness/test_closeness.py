"""How close arms lie to a student: measures, pairs of questions, engines, and what is printed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cotdistill.cli.main import main
from cotdistill.closeness.engines import Student, server_engine, transformers_engine
from cotdistill.closeness.measure import Measured, caution, measured, results_table
from cotdistill.closeness.measures import (
    Closeness,
    arm_intervals,
    closeness_of,
    correlation,
    smallest_correlation,
)
from cotdistill.closeness.paired import paired
from cotdistill.errors import DataError
from scripted_server import serving
from tiny_models import build

ROWS = [
    {"instruction": f"Add {n} and 3.", "output": f"{n} plus 3 is {n + 3}. The answer is {n + 3}."}
    for n in range(12)
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    return build(tmp_path_factory.mktemp("student") / "tiny", seed=3)


def arm(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def arms(tmp_path: Path) -> dict[str, Path]:
    """Two arms that share ten questions; the second repeats one and has longer rationales."""
    longer = [row | {"output": "Let me think. " * 3 + row["output"]} for row in ROWS[2:]]
    return {
        "short": arm(tmp_path / "short.jsonl", ROWS),
        "long": arm(tmp_path / "long.jsonl", [*reversed(longer), longer[0]]),
    }


def test_the_measures_of_a_trace_are_those_of_their_definitions() -> None:
    found = closeness_of([-0.5] * 600, [1] * 300 + [1000] * 300)
    assert found.tokens == 600
    assert found.nll == found.nll_512 == pytest.approx(0.5)
    assert found.rank == pytest.approx((300 + 300 * 100) / 600)
    assert found.rsr == pytest.approx((300 + 300 * 100) / 300)
    assert found.top1 == pytest.approx(0.5)
    first = closeness_of([-1.0] * 512 + [-9.0] * 512, [1] * 1024)
    assert (first.nll, first.nll_512) == (5.0, 1.0)
    assert math.isinf(closeness_of([0.0], [1]).rsr)


def test_the_ratio_of_an_arm_is_that_of_its_means_with_an_interval_around_it() -> None:
    values = zip(np.linspace(1, 2, 30), np.linspace(2, 8, 30), strict=True)
    traces = [Closeness(10, nll, nll, rank, rank / nll, 0.5) for nll, rank in values]
    found = arm_intervals(traces)["rsr"]
    assert found.value == pytest.approx(5.0 / 1.5)
    assert found.low < found.value < found.high


def test_correlations_are_of_ranks_and_partialled_for_length() -> None:
    assert correlation([1, 2, 3, 9], [1, 4, 9, 16], [1, 3, 2, 4]).rank == pytest.approx(1)
    # a measure that is length itself has nothing left
    both = correlation([1, 2, 3, 4, 5], [2, 1, 4, 3, 5], [10, 20, 30, 40, 50])
    assert both.rank == pytest.approx(0.8)
    assert both.without_length is None
    assert correlation([1, 1, 1], [1, 2, 3], [1, 2, 3]).rank is None


def test_few_arms_are_said_to_show_little() -> None:
    assert smallest_correlation(4) is None
    critical = {5: 1.0, 6: 0.886, 7: 0.786, 8: 0.738}  # tables of Spearman's correlation, 5 %
    for arms, least in critical.items():
        assert smallest_correlation(arms) == pytest.approx(least, abs=0.001)
    assert smallest_correlation(30) == pytest.approx(0.362, abs=0.002)
    assert "more than 5 of 100" in caution(3)
    assert "chance alone reaches 0.63" in caution(10)


def test_arms_are_paired_by_question_and_what_is_left_out_is_counted(
    arms: dict[str, Path],
) -> None:
    pairs = paired(arms, 6, seed=0)
    assert pairs.shared == 10
    short, long = pairs.arms["short"], pairs.arms["long"]
    assert [trace.key for trace in short] == [trace.key for trace in long]
    assert len(short) == 6
    assert pairs.left_out["short"]["questions that not all arms have"] == 2
    assert pairs.left_out["long"]["further rationales of a question"] == 1
    again = paired(dict(reversed(arms.items())), 6, seed=0)
    assert again.arms["short"] == short
    assert paired(arms, 6, seed=1).arms["short"] != short


def test_arms_without_a_shared_question_and_broken_rows_are_faults(tmp_path: Path) -> None:
    one = arm(tmp_path / "one.jsonl", ROWS[:3])
    other = arm(tmp_path / "two.jsonl", ROWS[5:])
    with pytest.raises(DataError, match=r"no question is in all of them \(one 3, two 7\)"):
        paired({"one": one, "two": other}, None, 0)
    broken = arm(tmp_path / "broken.jsonl", [ROWS[0], {"instruction": "x"}])
    with pytest.raises(DataError, match=r"broken\.jsonl:2"):
        paired({"one": one, "broken": broken}, None, 0)


def test_the_chunked_head_gives_what_a_plain_forward_pass_gives(
    model: Path, arms: dict[str, Path]
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    student = Student(str(model))
    whole: Any = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    rows = [
        student.tokens(trace.system, trace.question, trace.response)
        for trace in paired(arms, 5, 0).arms["long"]
    ]
    engine = transformers_engine(str(model), None, "float32", batch=3)
    for (prompt, response), (logprobs, ranks) in zip(rows, engine(rows), strict=True):
        with torch.no_grad():
            logits = whole(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1]
        wanted = torch.log_softmax(logits, -1)[range(len(response)), response]
        np.testing.assert_allclose(logprobs, wanted.numpy(), atol=1e-4)
        above = (logits > logits[range(len(response)), response][:, None]).sum(-1) + 1
        assert ranks == above.tolist()


def test_the_prompt_is_that_of_the_chat_template(model: Path) -> None:
    student = Student(str(model))
    prompt, response = student.tokens("Be brief.", "Add 1 and 2.", "3.")
    assert student.tokenizer.decode(prompt) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nAdd 1 and 2.<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert student.tokenizer.decode(response) == "3."


def test_a_vllm_server_is_asked_for_ranks_of_the_given_tokens(model: Path) -> None:
    student = Student(str(model))
    prompt, response = student.tokens("", "Add 1 and 2.", "It is 3.")

    def answer(asked: dict[str, Any], _: int) -> Any:
        places: list[Any] = [None]
        places += [
            {f"token_id:{token}": {"logprob": -0.25, "rank": 2}} for token in asked["prompt"][1:]
        ]
        return {"choices": [{"text": "", "prompt_logprobs": places}]}

    with serving(answer) as script:
        (scored,) = server_engine(script.url, "m", None)([(prompt, response)])
    assert scored == ([-0.25] * len(response), [2] * len(response))


def test_the_verb_writes_rows_and_says_what_they_show(
    model: Path, arms: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [f"{name}={path}" for name, path in arms.items()]
    words = ["closeness", *given, "--student", str(model), "-o", str(tmp_path / "rows.jsonl")]
    assert main([*words, "--questions", "4"]) == 0
    shown = capsys.readouterr()
    assert "rank correlation with length" in shown.out + shown.err
    assert "no forecast" in shown.out + shown.err or "not a forecast" in shown.out + shown.err
    lines = (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 8
    assert set(rows[0]) == {
        "student", "arm", "question", "tokens", "nll", "nll_512", "rank", "rsr", "top1"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["short"], 2, "an arm is NAME=VALUE, and not 'short'"),
        (["short=x.jsonl", "short=y.jsonl"], 2, "an arm 'short' is there twice"),
        (["short=nowhere.jsonl"], 1, "nowhere.jsonl"),
        (["short={short}", "--score", "short=high"], 2, "high is no number"),
        (["short={short}", "--engine", "magic"], 2, "expected transformers or vllm"),
        (["short={short}", "--max-tokens", "8"], 1, "--max-tokens"),
        (["short={short}", "-o", "{short}"], 2, "is an input"),
        (["short={short}", "-o", "{model}/config.json"], 2, "is an input"),
        (["short={short}", "--student", "./nowhere"], 1, "no config.json"),
    ],
)
def test_what_is_mistyped_is_one_line(
    model: Path, arms: dict[str, Path], words: list[str], status: int, message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    given = [word.format(short=arms["short"], model=model) for word in words]
    if "--student" not in given:
        given += ["--student", str(model)]
    assert main(["closeness", *given]) == status
    printed = capsys.readouterr().err
    assert message in printed
    assert "Traceback" not in printed


def test_results_are_correlated_over_three_arms_or_more() -> None:
    traces = {
        name: tuple(Closeness(10 * n + q, n + q / 9, n, n + 1, 1.0 + n, 0.5) for q in range(4))
        for n, name in enumerate(("a", "b", "c", "d", "e"), 1)
    }
    found = Measured("s", traces, ("1", "2", "3", "4"), 0)
    table = results_table(found, {"a": 5, "b": 4, "c": 3, "d": 2, "e": 1})
    assert {row[0]: row[1] for row in table.rows}["nll"] == "-1.00"
    with pytest.raises(DataError, match="no arm z"):
        results_table(found, {"z": 1})
    with pytest.raises(DataError, match="2 arms have a score"):
        results_table(found, {"a": 1, "b": 2})


def test_long_responses_are_cut_and_counted(model: Path, arms: dict[str, Path]) -> None:
    def engine(rows: Sequence[Any]) -> Iterator[Any]:
        for _, response in rows:
            yield [-1.0] * len(response), [1] * len(response)

    pairs = paired(arms, 3, 0)
    found = measured(Student(str(model)), "tiny", pairs, engine, longest=40)
    assert found.cut >= 3
    assert max(trace.tokens for trace in found.arms["long"]) < 40
