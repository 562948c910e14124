"""Levels in formats other than prose: what is asked for, and whether it is what came."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cotdistill.cli.main import main
from cotdistill.teach.checks import LEVEL_STEPS, faults_of, step_count
from cotdistill.teach.prompts import Prompts, values_for
from cotdistill.teach.questions import Item
from slow_server import slow_server
from teacher import write_questions

ITEM = Item("q", "toy", "train", "What is 2 + 3?", "5", rationale="2 + 3 = 5")
FORMATS = ("natural", "least-to-most", "rephrase", "symbolic", "program")


def example_in(prompt: str, format_: str, heading: str) -> str:
    text = prompt.partition(f"\n{heading}\n")[2]
    return text.partition("\n\nQuestion:\n")[0].strip() if format_ else text


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("rewrite", [False, True])
def test_every_level_of_every_format_shows_an_example_that_obeys_it(
    format_: str, rewrite: bool
) -> None:
    seen = set()
    for level in LEVEL_STEPS:
        values = values_for(ITEM, level=level, format=format_, rationale=ITEM.rationale)
        (turn,) = Prompts().messages("rewrite" if rewrite else format_, values)
        kind = "program" if format_ == "program" else "solution"
        heading = "Example rewritten:" if rewrite else f"Example {kind}:"
        example = example_in(turn["content"], format_, heading)
        question = turn["content"].partition("Example question:\n")[2].partition("\n")[0]
        assert faults_of(example, format_, level, question) == {}, (level, example)
        seen.add(example)
    assert len(seen) == 6


def test_traces_are_rewritten_at_each_level_of_formats_that_are_no_prose(tmp_path: Path) -> None:
    source = write_questions(tmp_path / "t.jsonl", 1, rationale="0 + 7 = 7. The answer is 7")
    out = tmp_path / "out"
    how = ["--levels", "1-6", "--formats", "symbolic,program", "--model", "m", "-o", str(out)]
    assert main(["teach", "--rewrite-of", str(source), *how, "--batch-out", "openai"]) == 0
    written = [
        json.loads(line)["body"]["messages"]
        for file in sorted((out / "batch").glob("*.jsonl"))
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    assert len(written) == len({json.dumps(turns) for turns in written}) == 12


def test_what_is_rewritten_is_named_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    how = ["--model", "m", "--batch-out", "openai", "-o", str(tmp_path / "out")]
    assert main(["teach", "svamp", "--rewrite-of", "t.jsonl", *how]) == 2
    assert "traces bring their questions with them" in capsys.readouterr().err
    assert main(["teach", *how]) == 2
    assert "name the QUESTIONS, or the traces to rewrite" in capsys.readouterr().err


def test_a_prompt_that_asks_for_two_levels_in_the_same_words_is_refused_before_anything_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 1)
    mine = tmp_path / "prompts"
    mine.mkdir()
    (mine / "natural.j2").write_text("Solve: {{ question }}")
    (mine / "own.j2").write_text("{{ steps[0] }} steps please: {{ question }}")
    words = ["--prompts", str(mine), "--levels", "1,2", "--model", "m", "-o", str(tmp_path / "o")]
    with slow_server(lambda _: "The answer is 7") as server:
        asked = ["teach", str(questions), "--endpoint", server.url, *words, "--again", "0"]
        assert main([*asked, "--formats", "natural"]) == 1
        assert server.bodies == []
        assert (
            "natural.j2: asks for natural at level 1 and for natural at level 2 in the same words"
        ) in capsys.readouterr().err
        assert main([*asked, "--formats", "own"]) == 0
        assert len(server.bodies) == 2


@pytest.mark.parametrize(
    ("format_", "text", "steps"),
    [
        ("symbolic", "t = 6 (trays)\nb = 4\nn = t * b = 24\nThe answer is 24", 1),
        ("symbolic", "- $t = 6$\n- n = number of buns\nn = 4t\n\nn = 24\nThe answer is 24", 2),
        ("symbolic", "t = 6, b = 4\nf = 1/2 (share)\nn = t*b*f = 12\nThe answer is 12", 1),
        ("symbolic", "\\[\nx + 3 = 7\n\\]\nx = 4\nThe answer is 4", 2),
        ("least-to-most", "Q: How many?\nA: 6.\nQ: Then?\nA: 24.\nThe answer is 24", 2),
        ("least-to-most", "**Q1:** How many? A: 6.\nQ2: Then?\nThe answer is 24", 1),
        ("least-to-most", "1. How many are there?\nThere are 6.\nThe answer is 6", 1),
        ("least-to-most", "Q: How many?\nQ: Then?\nA: 24.\nThe answer is 24", 1),
        ("program", "```python\nimport math\nt = 6\nprint(t)\n```", 1),
        (
            "program",
            "```python\ndef f(a):\n    'It.'\n    return a\nn = f(3)\nprint(n)\n```",
            2,
        ),
        ("program", "```python\nfor k in range(3):\n    n = k\nprint(n)\n```", 2),
        ("program", "```python\nthis is no program\n```", 0),
        ("rephrase", "Rephrased question: 6 what?\n\n1. Take 6.\n2. Go.\nThe answer is 6", 2),
    ],
)
def test_steps_are_counted_as_each_format_has_them(format_: str, text: str, steps: int) -> None:
    assert step_count(text, format_) == steps


def test_a_level_that_a_format_misses_is_asked_for_again_and_counted_as_out_of_budget(
    tmp_path: Path,
) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 1)
    short = {
        "Break it into": "Q: How many?\nA: 0.\nQ: How many then?\nA: 7.\nThe answer is 7",
        "in symbols": "a = 0\nb = 7\ns = a + b = 7\nThe answer is 7",
    }

    def decide(body: dict[str, list[dict[str, str]]]) -> str:
        text = body["messages"][0]["content"]
        return next(reply for words, reply in short.items() if words in text)

    out = tmp_path / "out"
    how = ["--levels", "6", "--formats", "least-to-most,symbolic", "--again", "1"]
    with slow_server(decide) as server:
        asked = ["teach", str(questions), "--endpoint", server.url, "--model", "m", "-o", str(out)]
        assert main([*asked, *how]) == 0
        again = " ".join(body["messages"][0]["content"] for body in server.bodies[2:])
    assert "it has 2 answered questions, and 6 to 10 were asked for" in again
    assert "it has 1 line after the names, and 6 to 10 were asked for" in again
    rows = [json.loads(line) for line in (out / "traces.jsonl").read_text().splitlines()]
    assert [row["meta"]["flags"] for row in rows] == [["level_missed"]] * 2
    obedience = json.loads((out / "ledger.json").read_text())["obedience"]
    assert [entry["share_in_budget"] for entry in obedience] == [0.0] * 2
    assert [entry["median_steps"] for entry in obedience] == [2, 1]


def test_a_program_misses_its_level_with_too_few_statements() -> None:
    found = faults_of("```python\nprint(0 + 7)\n```", "program", 6, "What is 0 + 7?")
    assert found == {"level": "it has 0 statements besides printing, and 6 to 10 were asked for"}
