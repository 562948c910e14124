"""`sample`: the six strategies, the guards against hints that show, and what is reported."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cotdistill.cli.main import main
from cotdistill.teach.continuing import joined
from cotdistill.teach.prefixes import prefixes_of
from json_lines import rows
from slow_server import SlowServer, completion, slow_server
from teach_command import ledger
from teacher import asked_about, obedient, write_questions

REFERENCE = (
    "He has {0} pens at first.\nHe buys {1} more pens.\nThat makes {2} pens.\nThe answer is {2}"
)


def questions_with_solutions(path: Path, count: int) -> Path:
    write_questions(path, count)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for number, row in enumerate(rows):
        row["rationale"] = REFERENCE.format(number, number + 7, 2 * number + 7)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    return questions_with_solutions(tmp_path / "questions.jsonl", 4)


def sample(questions: Path, server: SlowServer, out: Path, *words: str) -> int:
    given = ["sample", str(questions), "--endpoint", server.url, "--model", "student"]
    return main([*given, "-o", str(out), *words])


def last(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"])


class Student:
    """Answers wrongly when asked plainly, and as `helped` says when a request holds help."""

    def __init__(self, helped: Any, right: int = 0) -> None:
        self.helped = helped
        self.right = right
        self.plain: Counter[str] = Counter()

    def __call__(self, body: dict[str, Any]) -> str:
        sums, total = asked_about(body)
        is_plain = len(body["messages"]) == 1 and last(body).endswith("within \\boxed{}.")
        if not is_plain:
            return str(self.helped(body, total))
        self.plain[sums] += 1
        n = self.plain[sums]
        right = total if n <= self.right else total + 1
        return f"In attempt {n} I add and get \\boxed{{{right}}}."


def test_plain_samples_that_suffice_are_not_followed_by_others(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with slow_server(Student(None, right=5)) as server:
        assert sample(questions, server, out, "-k", "8", "--strategy", "uniform") == 0
        assert len(server.bodies) == 32
        assert len({body["seed"] for body in server.bodies}) == 32
    counts = Counter(row["provenance"]["round"] for row in rows(out / "traces.jsonl"))
    assert counts == {0: 16}  # at most four of each question
    (first,) = ledger(out)["rounds"]
    assert first["newly_covered"] == 4
    assert first["questions_by_correct_samples"] == {"5": 4}
    shown = capsys.readouterr().out
    assert "100.0%" in shown
    assert "16 traces kept, 0 gained by guidance" in shown


def test_uniform_sampling_goes_on_plainly_until_enough_are_right(
    questions: Path, tmp_path: Path
) -> None:
    class Late(Student):
        def __call__(self, body: dict[str, Any]) -> str:
            sums, total = asked_about(body)
            self.plain[sums] += 1
            n = self.plain[sums]
            return f"In attempt {n} it is \\boxed{{{total if n > 4 else 0}}}."

    out = tmp_path / "out"
    with slow_server(Late(None)) as server:
        how = ("-k", "2", "--strategy", "uniform", "--min-correct", "2", "--rounds", "128")
        assert sample(questions, server, out, *how) == 0
        assert len(server.bodies) == 4 * 6
        assert len({last(body) for body in server.bodies}) == 4
    rounds = {entry["round"]: entry for entry in ledger(out)["rounds"]}
    assert sorted(rounds) == [0, 1, 2, 3, 4]
    assert rounds[3]["newly_covered"] == 4
    assert rounds[4]["questions_by_correct_samples"] == {"2": 4}
    assert len(rows(out / "gained.jsonl")) == 8


def test_the_reference_answer_guides_and_a_text_that_mentions_it_is_rejected(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def helped(body: dict[str, Any], total: int) -> str:
        assert f"The known result is: {total}" in last(body)
        if total == 7:
            return f"As the known result is {total}, we add. \\boxed{{{total}}}"
        return f"Adding both numbers gives \\boxed{{{total}}}, seed {body['seed']}."

    out = tmp_path / "out"
    with slow_server(Student(helped)) as server:
        how = ("-k", "2", "--strategy", "answer", "--min-correct", "1", "--rounds", "2")
        assert sample(questions, server, out, *how) == 0
    traces = rows(out / "traces.jsonl")
    assert len(traces) == 3
    assert {row["provenance"]["guided"] for row in traces} == {"answer"}
    assert not any("known result" in row["question"] + row["rationale"] for row in traces)
    rejected = [row for row in rows(out / "samples.jsonl") if "rejected" in row]
    assert {row["question_id"] for row in rejected} == {"toy-0"}
    assert "2 rejected: it refers to a hint" in capsys.readouterr().out


def test_the_reference_solution_guides_and_a_copy_of_it_is_rejected(
    questions: Path, tmp_path: Path
) -> None:
    def helped(body: dict[str, Any], total: int) -> str:
        number = (total - 7) // 2
        solution = REFERENCE.format(number, number + 7, total)
        assert solution in last(body)
        own = f"Putting both heaps together, one counts \\boxed{{{total}}}."
        return solution if total == 9 else own

    out = tmp_path / "out"
    with slow_server(Student(helped)) as server:
        how = ("-k", "1", "--strategy", "rationale", "--min-correct", "1", "--rounds", "1")
        assert sample(questions, server, out, *how) == 0
    assert {row["id"].partition("-round")[0] for row in rows(out / "traces.jsonl")} == {
        "toy-0",
        "toy-2",
        "toy-3",
    }
    assert ledger(out)["rejected"] == {"it copies the reference solution": 1}


def test_a_teacher_corrects_the_latest_wrong_attempt_and_the_history_is_kept(
    questions: Path, tmp_path: Path
) -> None:
    def helped(body: dict[str, Any], total: int) -> str:
        roles = [message["role"] for message in body["messages"]]
        assert roles == ["user", "assistant", "user"]
        assert "In attempt 2 I add" in body["messages"][1]["content"]
        assert "Your sum is off by one." in last(body)
        return f"Adding again, one gets \\boxed{{{total}}}."

    def correct(body: dict[str, Any]) -> str:
        assert body["model"] == "tutor"
        assert "The student's final answer is not correct." in last(body)
        assert "In attempt 2 I add" in last(body)
        assert (body["temperature"], body["top_p"]) == (1.0, 0.95)
        return "Your sum is off by one."

    out = tmp_path / "out"
    with slow_server(Student(helped)) as server, slow_server(correct) as teacher:
        how = ("-k", "2", "--strategy", "interactive", "--min-correct", "1")
        who = ("--teacher-endpoint", teacher.url, "--teacher-model", "tutor")
        one_by_one = ("--concurrency", "1")
        assert sample(questions, server, out, *how, *who, *one_by_one) == 0
        assert (len(server.bodies), len(teacher.bodies)) == (12, 4)
        assert sample(questions, server, out, *how, *who) == 0
        assert (len(server.bodies), len(teacher.bodies)) == (12, 4)
    guided = [row for row in rows(out / "samples.jsonl") if row["round"] == 1]
    assert [message["role"] for message in guided[0]["message_history"]] == [
        "user",
        "assistant",
        "user",
    ]
    trace = rows(out / "traces.jsonl")[0]
    assert trace["provenance"]["guided"] == "teacher"
    assert trace["question"].startswith("Tom has 0 pens")
    assert ledger(out)["rounds"][1]["requests"] == 8


def test_a_revision_that_speaks_of_its_teacher_is_rejected(questions: Path, tmp_path: Path) -> None:
    helped = lambda _, total: f"My earlier attempt was wrong: \\boxed{{{total}}}"  # noqa: E731
    out = tmp_path / "out"
    with slow_server(Student(helped)) as server, slow_server(lambda _: "Look at step 1.") as tutor:
        how = ("-k", "1", "--strategy", "interactive", "--min-correct", "1", "--rounds", "1")
        who = ("--teacher-endpoint", tutor.url, "--teacher-model", "m")
        assert sample(questions, server, out, *how, *who) == 0
    assert rows(out / "traces.jsonl") == []
    assert ledger(out)["rejected"] == {"it refers to the correction": 4}


def test_a_teacher_that_answers_as_the_student_is_refused(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    as_student = lambda _: completion("Look at step 1.", 9, {"model": "student"})  # noqa: E731
    with slow_server(Student(None)) as server, slow_server(as_student) as tutor:
        how = ("-k", "1", "--strategy", "interactive", "--min-correct", "1", "--rounds", "1")
        who = ("--teacher-endpoint", tutor.url, "--teacher-model", "tutor")
        assert sample(questions, server, tmp_path / "out", *how, *who) == 1
    assert "model 'tutor': the server answers as 'student'" in capsys.readouterr().err


def test_a_teacher_is_counted_and_paid_for_apart_from_the_student(
    questions: Path, tmp_path: Path
) -> None:
    helped = lambda _, total: f"Adding again, one gets \\boxed{{{total}}}."  # noqa: E731
    long = lambda body: completion("Your sum is off by one.", 900, body)  # noqa: E731
    out = tmp_path / "out"
    with slow_server(Student(helped)) as server, slow_server(long) as tutor:
        how = ("-k", "1", "--strategy", "interactive", "--min-correct", "1", "--rounds", "1")
        who = ("--teacher-endpoint", tutor.url, "--teacher-model", "tutor")
        price = ("--price", "{input: 0, output: 0}", "--teacher-price", "{input: 1, output: 10}")
        assert sample(questions, server, out, *how, *who, *price) == 0
        first = ledger(out)
        assert sample(questions, server, out, *how, *who, *price) == 0
    paid = 4 * (20 + 10 * 900) / 1e6
    assert first["last_run"]["money"] == pytest.approx(paid)
    found = ledger(out)
    assert found["last_run"]["requests"] == 0
    assert found["last_run"]["money"] == 0
    assert found["money"] == found["teacher"]["money"] == pytest.approx(paid)
    assert found["tokens"]["requests"] == 8
    assert found["tokens"]["completion"] == 8 * 7
    assert found["teacher"]["tokens"]["completion"] == 4 * 900
    corrected = found["rounds"][1]
    assert (corrected["requests"], corrected["tokens"]) == (8, 4 * (20 + 900 + 20 + 7))
    assert corrected["teacher"] == {"requests": 4, "tokens": 4 * 920}


def test_a_correction_that_failed_is_one_request(questions: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with slow_server(Student(None)) as server, slow_server(lambda _: 400) as tutor:
        how = ("-k", "1", "--strategy", "interactive", "--min-correct", "1", "--rounds", "1")
        who = ("--teacher-endpoint", tutor.url, "--teacher-model", "tutor", "--limit", "1")
        sample(questions, server, out, *how, *who)
        assert len(tutor.bodies) == 1
    assert [(one["round"], one["requests"]) for one in ledger(out)["rounds"]] == [(0, 1), (1, 1)]


def test_a_budget_counts_a_teacher_that_is_paid_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = questions_with_solutions(tmp_path / "q.jsonl", 40)
    helped = lambda _, total: f"Adding again, one gets \\boxed{{{total}}}."  # noqa: E731
    long = lambda body: completion("Your sum is off by one.", 100, body)  # noqa: E731
    free, out = ("--price", "{input: 0, output: 0}"), tmp_path / "out"
    with slow_server(Student(helped)) as server, slow_server(long) as tutor:
        how = ("-k", "1", "--strategy", "interactive", "--min-correct", "1", "--rounds", "1")
        who = ("--teacher-endpoint", tutor.url, "--teacher-model", "tutor")
        limited = (*how, *who, *free, "--budget", "0.02")
        assert sample(questions, server, out, *limited) == 2
        assert "--budget needs a price; give --teacher-price" in capsys.readouterr().err
        price = ("--teacher-price", "{input: 1, output: 10}")  # 0.00102 a correction
        assert sample(questions, server, out, *limited, *price) == 1
        assert "stopped at the budget of 0.02; first" in capsys.readouterr().err
        assert 0 < len(tutor.bodies) <= 19
    assert 0 < ledger(out)["money"] <= 0.02


def test_a_pilot_of_sampling_estimates_all_rounds_and_both_models(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = questions_with_solutions(tmp_path / "q.jsonl", 10)
    helped = lambda _, total: f"Adding again, one gets \\boxed{{{total}}}."  # noqa: E731
    out = tmp_path / "out"
    with slow_server(Student(helped)) as server, slow_server(lambda _: "Off by one.") as tutor:
        how = ("-k", "1", "--strategy", "interactive", "--min-correct", "1", "--rounds", "1")
        who = ("--teacher-endpoint", tutor.url, "--teacher-model", "tutor")
        price = ("--price", "{input: 0, output: 0}", "--teacher-price", "{input: 1, output: 10}")
        assert sample(questions, server, out, *how, *who, *price, "--pilot", "2") == 0
        assert (len(server.bodies), len(tutor.bodies)) == (4, 2)
        shown = capsys.readouterr().out
        assert "requests           30" in shown
        assert "money              0.0009 (95 % interval 0.0009 to 0.0009)" in shown
        assert sample(questions, server, out, *how, *who, *price) == 0
    assert ledger(out)["predicted"]["money"][1] == pytest.approx(ledger(out)["money"])


# -- state reset


def continuing(body: dict[str, Any], mode: str) -> str | None:
    """Continue what a request begins, as a server that knows one way; None begins anew."""
    turn = body["messages"][-1]
    if turn["role"] != "assistant":
        return None
    knows = {
        "flags": body.get("continue_final_message") is True,
        "prefix": turn.get("prefix") is True,
        "assistant": "continue_final_message" not in body and "prefix" not in turn,
    }
    return str(turn["content"]) if knows[mode] else None


@pytest.mark.parametrize("mode", ["flags", "assistant", "prefix"])
@pytest.mark.parametrize("echoes", [False, True])
def test_the_way_to_continue_a_text_is_found_out_and_used(
    questions: Path, tmp_path: Path, mode: str, echoes: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    def decide(body: dict[str, Any]) -> str:
        begun = continuing(body, mode)
        if "one to six" in str(body["messages"][0]["content"]):
            rest = "one, two, three, four, five, six" if begun is None else " four, five, six"
            return begun + rest if begun and echoes else rest
        _, total = asked_about(body)
        if begun is None:
            return "I do not know: \\boxed{0}"
        assert begun == begun.rstrip()
        rest = f"Together that is \\boxed{{{total}}}."
        return f"{begun}\n{rest}" if echoes else rest

    out = tmp_path / "out"
    with slow_server(decide) as server:
        how = ("-k", "1", "--strategy", "state_reset", "--min-correct", "2", "--rounds", "3")
        assert sample(questions, server, out, *how) == 0
        asked = len(server.bodies)
        assert sample(questions, server, out, *how) == 0
        assert len(server.bodies) == asked
    assert f"texts are continued by '{mode}'" in capsys.readouterr().err
    traces = rows(out / "traces.jsonl")
    assert [row["rationale"] for row in traces[:2]] == [
        "He has 0 pens at first.\nTogether that is \\boxed{7}.",
    ] + [row["rationale"] for row in traces[1:2]]
    assert all(row["provenance"]["prefix_mode"] == mode for row in traces)
    assert all(row["rationale"].count("He has") == 1 for row in traces)


def test_where_nothing_is_continued_the_beginning_is_quoted_in_the_question(
    questions: Path, tmp_path: Path
) -> None:
    def decide(body: dict[str, Any]) -> Any:
        if body["messages"][-1]["role"] == "assistant":
            return 400
        if "one to six" in last(body):
            return "four, five, six" if "begins with" in last(body) else "one, two, three"
        _, total = asked_about(body)
        begun = re.search(
            r"begins exactly like this:\n<<<(\w+)\n(.*)\n\1>>>", last(body), re.DOTALL
        )
        return f"So there are \\boxed{{{total}}}." if begun else "\\boxed{0}"

    out = tmp_path / "out"
    with slow_server(decide) as server:
        how = ("-k", "1", "--strategy", "state_reset", "--min-correct", "1", "--rounds", "1")
        assert sample(questions, server, out, *how) == 0
    assert {row["provenance"]["prefix_mode"] for row in rows(out / "traces.jsonl")} == {"asked"}


def test_a_server_that_continues_nothing_is_refused_with_what_it_did(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with slow_server(lambda _: "one, two, three, four, five, six, one, two") as server:
        assert sample(questions, server, tmp_path / "out", "--strategy", "state_reset") == 1
        assert len(server.bodies) == 4
    err = capsys.readouterr().err
    assert "continues no text that was begun for it" in err
    assert "--prefix-mode" in err


@pytest.mark.parametrize("mark", [" ", "\n", "\n\n", "  \n"])
def test_white_space_at_the_end_of_a_beginning_is_put_back(mark: str) -> None:
    assert joined(f"So far.{mark}", "And on.") == f"So far.{mark}And on."


def test_no_beginning_holds_the_answer_or_most_of_the_solution() -> None:
    long = "One has 3.\nTwo has 4.\nThree has 5.\nAll have 12.\nThe answer is 12"
    found = prefixes_of(long, "12")
    assert found == [
        "One has 3.\n",
        "One has 3.\nTwo has 4.\n",
        "One has 3.\nTwo has 4.\nThree has 5.\n",
    ]
    assert prefixes_of("The result 12 comes first.\nThen why.\nThe answer is 12", "12") == []
    assert prefixes_of("It is 12.", "12") == []
    assert prefixes_of("Take 3. Add 4. Then add 5. It gives 12. So 12.", "12") == [
        "Take 3. ",
        "Take 3. Add 4. ",
        "Take 3. Add 4. Then add 5. ",
    ]


def test_questions_without_a_usable_beginning_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 2, rationale="7 at once.")
    with slow_server(Student(None)) as server:
        how = ("-k", "1", "--strategy", "state_reset", "--prefix-mode", "flags")
        assert sample(questions, server, tmp_path / "out", *how) == 0
        assert len(server.bodies) == 2
    assert "no solution long enough to resume from: 2 questions" in capsys.readouterr().out


# -- Mentor-KD, programs, faults


def test_all_samples_are_kept_with_flags_when_asked_for(questions: Path, tmp_path: Path) -> None:
    """Mentor-KD's augmentation: three samples a question, right and wrong, each with its flag."""
    with slow_server(Student(None, right=1)) as server:
        how = ("-k", "3", "--keep", "all")
        assert sample(questions, server, tmp_path / "out", *how) == 0
    traces = rows(tmp_path / "out" / "traces.jsonl")
    assert Counter(row["meta"]["correct"] for row in traces) == {True: 4, False: 8}


def test_identical_texts_count_as_one_sample(questions: Path, tmp_path: Path) -> None:
    decide = lambda body: f"It is \\boxed{{{asked_about(body)[1]}}}."  # noqa: E731
    with slow_server(decide) as server:
        how = ("-k", "4", "--strategy", "uniform", "--min-correct", "2", "--rounds", "1")
        assert sample(questions, server, tmp_path / "out", *how) == 0
        assert len(server.bodies) == 4 * 5
    assert len(rows(tmp_path / "out" / "traces.jsonl")) == 4


def test_a_model_that_answers_every_sample_alike_is_pointed_out(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with slow_server(obedient) as server:
        assert sample(questions, server, tmp_path / "out", "-k", "4", "--rounds", "0") == 0
    assert "75% of the samples repeat another sample" in capsys.readouterr().err


def test_programs_are_run_and_graded_by_what_they_print(questions: Path, tmp_path: Path) -> None:
    def decide(body: dict[str, Any]) -> str:
        _, total = asked_about(body)
        assert "Python program" in last(body)
        if total == 9:
            return "```python\nprint(undefined)\n```"
        return f"```python\na = {total} - 1\nprint(a + 1)\n```"

    from cotdistill.hosts.sandbox.sandbox import Sandbox, SandboxError

    try:
        Sandbox().close()
    except SandboxError as error:
        pytest.skip(str(error))
    out = tmp_path / "out"
    with slow_server(decide) as server:
        assert sample(questions, server, out, "-k", "1", "--mode", "program") == 0
    outcomes = Counter(row["outcome"] for row in rows(out / "samples.jsonl"))
    assert outcomes == {"correct": 3, "no_answer": 1}
    assert {row["provenance"]["format"] for row in rows(out / "traces.jsonl")} == {"program"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--strategy", "guess"), "no strategy 'guess'"),
        (("--strategy", "interactive"), "needs a teacher"),
        (("--teacher-model", "m"), "needs both --teacher-endpoint and --teacher-model"),
        (("--temperature", "0"), "are the same text"),
        (("--keep", "some"), "expected correct or all"),
        (("--mode", "java"), "expected cot or program"),
        (("--strategy", "state_reset", "--prefix-mode", "magic"), "expected auto, flags"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_asked(
    questions: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    message: str,
) -> None:
    with slow_server(Student(None)) as server:
        assert sample(questions, server, tmp_path / "out", *words) == 2
        assert server.bodies == []
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "words", "message"),
    [
        ({"gold": ""}, (), "has no reference answer, so its samples cannot be graded"),
        ({}, ("--strategy", "rationale"), "has no reference solution, which the strategy"),
        ({}, ("--strategy", "state_reset"), "has no reference solution, which the strategy"),
    ],
)
def test_questions_that_lack_what_a_strategy_needs_are_named(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changed: dict[str, Any],
    words: tuple[str, ...],
    message: str,
) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 3, **changed)
    with slow_server(Student(None)) as server:
        how = (*words, "--prefix-mode", "flags")
        assert sample(questions, server, tmp_path / "out", *how) == 1
        assert server.bodies == []
    err = capsys.readouterr().err
    assert message in err
    assert "question 1 (toy-0)" in err
    assert "question 3 (toy-2)" in err


def test_the_same_samples_come_from_any_order_and_any_number_of_stops(
    questions: Path, tmp_path: Path
) -> None:
    def decide(body: dict[str, Any]) -> str:
        _, total = asked_about(body)
        right = body["seed"] % 3 == 0
        return f"Seed {body['seed']} gives \\boxed{{{total if right else 0}}}."

    how = ("-k", "3", "--strategy", "uniform", "--min-correct", "3", "--rounds", "20")
    with slow_server(decide) as server:
        assert sample(questions, server, tmp_path / "whole", *how) == 0
        whole = len(server.bodies)
        for _ in range(5, whole + 5, 5):
            sample(questions, server, tmp_path / "parts", *how, "--budget-requests", "5")
        assert sample(questions, server, tmp_path / "parts", *how) == 0
        assert len(server.bodies) == 2 * whole
    for name in ("traces.jsonl", "samples.jsonl", "gained.jsonl"):
        whole_file, parts = (tmp_path / folder / name for folder in ("whole", "parts"))
        assert whole_file.read_bytes() == parts.read_bytes()


def test_choices_are_asked_whether_or_not_the_question_mentions_them(tmp_path: Path) -> None:
    row = {"id": "q-1", "dataset": "date", "split": "train", "kind": "letter", "gold": "B",
           "question": "Ann has a cup, Bob a key. They swap. What has Ann?",
           "options": {"A": "cup", "B": "key"}}  # fmt: skip
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with slow_server(lambda _body: "They swap. The answer is B.") as server:
        assert sample(path, server, tmp_path / "plain", "-k", "1") == 0
        assert sample(path, server, tmp_path / "a", "-k", "1", "--instruction", "Think.") == 0
        plain, asked = map(last, server.bodies)
    assert "A. cup\nB. key" in plain
    assert asked == f"{row['question']}\n\nAnswer choices:\nA. cup\nB. key\n\nThink."


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--prefix-mode", "nope"), "--prefix-mode: 'nope'; expected auto, "),
        (("--sandbox", "nope"), "--sandbox: no sandbox 'nope'; known: auto, "),
    ],
)
def test_a_misspelt_choice_is_refused_where_it_has_no_effect_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    write_questions(tmp_path / "q.jsonl", 1)
    url = "http://127.0.0.1:9/v1"
    asked = ("sample", str(tmp_path / "q.jsonl"), "--endpoint", url, "--model", "m", *words)
    assert main([*asked, "-o", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("svamp:tran", 2, "no split 'tran' of svamp; did you mean 'train'?"),
        ("nowhere.jsonl", 1, "nowhere.jsonl: no such file; expected a file of questions"),
    ],
)
def test_questions_that_are_not_there_are_told_from_those_not_prepared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, status: int, message: str
) -> None:
    url = "http://127.0.0.1:9/v1"
    asked = ("sample", name, "--endpoint", url, "--model", "m", "-o", str(tmp_path / "out"))
    assert main([*asked]) == status
    assert message in capsys.readouterr().err


def test_samples_that_are_all_truncated_are_no_share(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_questions(tmp_path / "q.jsonl", 1)

    def truncated(body: dict[str, Any]) -> Any:
        return completion("We add", 2, body, "length")

    with slow_server(truncated) as server:
        assert sample(tmp_path / "q.jsonl", server, tmp_path / "out", "-k", "1") == 1
    out = capsys.readouterr().out
    assert "no sample was graded" in out
    assert "()" not in out
