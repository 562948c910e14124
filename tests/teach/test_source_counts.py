"""The row counts of the source repositories, from a scripted teacher that answers as theirs did.

The data are not part of the project; where they are not at hand these tests skip.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from cotdistill.benchmarks.question import asked_only
from cotdistill.cli.main import main
from cotdistill.teach.graded import graded_text
from cotdistill.teach.guards import mentions_hint
from cotdistill.teach.questions import Items
from json_lines import rows
from slow_server import slow_server

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="the source repositories' data are not here"),
]


def write_questions(path: Path, pairs: dict[str, str]) -> Path:
    with path.open("w", encoding="utf-8") as stream:
        for number, (question, gold) in enumerate(pairs.items()):
            row = {"id": f"svamp-{number}", "dataset": "svamp", "split": "train"}
            row |= {"question": question, "gold": gold, "kind": "number"}
            stream.write(json.dumps(row) + "\n")
    return path


def test_a_teacher_that_answers_as_chatgpt_did_gives_the_papers_rows_a_level(
    tmp_path: Path,
) -> None:
    levels = {}
    for level in (1, 3, 6):
        (path,) = (DATA / "cot_factors").glob(f"**/SVAMP_ChatGPT_level{level}_ranked.json")
        found = json.loads(path.read_text(encoding="utf-8"))
        levels[level] = {row["instruction"].strip(): row["output"] for row in found}
    questions = dict.fromkeys(levels[1], "0")
    path = write_questions(tmp_path / "q.jsonl", questions)

    def decide(body: dict[str, Any]) -> Any:
        text = body["messages"][0]["content"]
        asked = text.rpartition("Question:\n")[2].rpartition("\nSolution:")[0]
        asked = asked.partition("An earlier attempt")[0].strip()
        level = 1 if "very coarse" in text else 3 if "three steps" in text else 6
        return levels[level].get(asked, 404 if asked not in questions else "")

    with slow_server(decide) as server:
        given = ["teach", str(path), "--endpoint", server.url, "--model", "m", "--levels", "1,3,6"]
        main([*given, "--again", "0", "-o", str(tmp_path / "out")])
    counts = Counter(row["provenance"]["level"] for row in rows(tmp_path / "out" / "traces.jsonl"))
    assert counts == {level: len(texts) for level, texts in levels.items()}
    assert counts == {1: 700, 3: 699, 6: 699}


def test_a_mentor_that_answers_as_flan_t5_did_gives_three_rows_a_question_with_its_flags(
    tmp_path: Path,
) -> None:
    source = DATA / "mentor_kd" / "svamp_mentor_augmented_flan_t5_large.json"
    found = json.loads(source.read_text(encoding="utf-8"))
    chains: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in found:
        chains[row["input"].strip()].append(row)
    path = write_questions(
        tmp_path / "q.jsonl", {question: each[0]["answer"] for question, each in chains.items()}
    )
    given: Counter[str] = Counter()

    def decide(body: dict[str, Any]) -> str:
        text = body["messages"][0]["content"]
        question = text.partition("\nPlease reason")[0].strip()
        row = chains[question][given[question]]
        given[question] += 1
        return f"{row['chain']} The answer is {row['completion']}."

    with slow_server(decide) as server:
        words = ["sample", str(path), "--endpoint", server.url, "--model", "m", "-k", "3"]
        assert main([*words, "--keep", "all", "-o", str(tmp_path / "out")]) == 0
    traces = rows(tmp_path / "out" / "traces.jsonl")
    assert len(traces) == len(found) == 2100
    correct = sum(row["meta"]["correct"] for row in traces)
    assert correct == pytest.approx(sum(row["initial_correct"] for row in found), abs=25)


def test_samples_are_counted_and_resampled_as_guided_self_improvement_does(tmp_path: Path) -> None:
    """8 plain samples, then guided ones while fewer than 4 are right, at most 8 (paper's scripts).

    Of question i, i mod 9 plain samples are right and every guided one is, each in other words.
    """
    count, source = 270, tmp_path / "q.jsonl"
    usable = (
        item
        for item in Items(str(DATA / "gsi" / "cot_aqua_rat.json"))
        if graded_text(f"Attempt 1. {item.rationale}", item).correct
        and not mentions_hint(item.rationale, item.question)
    )
    chosen = list(islice(usable, count))
    texts = {item.question.strip(): item.rationale for item in chosen}
    with source.open("w", encoding="utf-8") as stream:
        for item in chosen:
            row = {"id": item.id, "dataset": "aqua", "split": "train", "kind": item.kind}
            row |= {"question": item.question, "gold": item.gold, "options": item.options}
            stream.write(json.dumps(row) + "\n")
    rightness = {question: place % 9 for place, question in enumerate(texts)}
    given: Counter[str] = Counter()

    def decide(body: dict[str, Any]) -> str:
        text = body["messages"][0]["content"]
        (question,) = (one for one in texts if text.startswith(one))
        given[question] += 1
        number = given[question]
        is_right = "The known result is" in text or number <= rightness[question]
        return f"Attempt {number}. {texts[question]}" if is_right else f"Attempt {number}: unsure."

    with slow_server(decide) as server:
        words = ["sample", str(source), "--limit", str(count), "--endpoint", server.url]
        words += ["--model", "m", "-k", "8", "--strategy", "answer", "--min-correct", "4"]
        words += ["--rounds", "8", "--per-question", "0", "-o", str(tmp_path / "out")]
        assert main(words) == 0
        asked = len(server.bodies)
    ledger = json.loads((tmp_path / "out" / "ledger.json").read_text())
    plain, *guided = ledger["rounds"]
    assert plain["questions_by_correct_samples"] == {str(n): 30 for n in range(9)}
    assert [len(one["questions_by_correct_samples"]) for one in guided] == [4, 3, 2, 1]
    assert guided[0]["questions_by_correct_samples"] == {"1": 30, "2": 30, "3": 30, "4": 30}
    assert guided[-1]["questions_by_correct_samples"] == {"4": 30}
    assert asked == 8 * count + 30 * (4 + 3 + 2 + 1)
    assert ledger["rounds"][0]["newly_covered"] == 240
    gained = 30 * (4 + 3 + 2 + 1)
    assert len(rows(tmp_path / "out" / "gained.jsonl")) == gained
    assert len(rows(tmp_path / "out" / "traces.jsonl")) == 30 * sum(range(9)) + gained


def test_programs_are_counted_and_resampled_the_same_way(tmp_path: Path) -> None:
    """The paper's programs for GSM8K run in the sandbox; of question i, i mod 5 of 4 are right."""
    items = list(islice(Items(str(DATA / "gsi" / "pot_gsm8k.json")), 60))
    source = tmp_path / "q.jsonl"
    with source.open("w", encoding="utf-8") as stream:
        for number, item in enumerate(items):
            row = {"id": f"gsm8k-{number}", "dataset": "gsm8k", "split": "train", "kind": "number"}
            stream.write(json.dumps(row | {"question": item.question, "gold": item.gold}) + "\n")
    programs = {asked_only(item.question.strip()): item.rationale for item in items}
    places = {question: place for place, question in enumerate(programs)}
    given: Counter[str] = Counter()

    def decide(body: dict[str, Any]) -> str:
        text = body["messages"][0]["content"]
        assert text.endswith(" Let's write a program.")
        assert text.count("rogram") - asked_only(text).count("rogram") == 1, "asked for once"
        question = asked_only(text)
        given[question] += 1
        number = given[question]
        if number <= places[question] % 5 or number > 4:
            return f"# Attempt {number}\n{programs[question]}"
        return f"# Attempt {number}\nprint(-1)"

    with slow_server(decide) as server:
        words = ["sample", str(source), "--endpoint", server.url, "--model", "m", "-k", "4"]
        words += [
            "--strategy",
            "uniform",
            "--min-correct",
            "2",
            "--rounds",
            "2",
            "--mode",
            "program",
        ]
        words += ["--instruction", "{question} Let's write a program.", "--per-question", "0"]
        assert main([*words, "--concurrency", "1", "-o", str(tmp_path / "out")]) == 0
    ledger = json.loads((tmp_path / "out" / "ledger.json").read_text())
    plain, *again = ledger["rounds"]
    expected = Counter(str(place % 5) for place in range(len(programs)))
    assert plain["questions_by_correct_samples"] == dict(sorted(expected.items()))
    short = expected["0"] * 2 + expected["1"]
    assert len(rows(tmp_path / "out" / "gained.jsonl")) == short
    assert len(again) == 2
