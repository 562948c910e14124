"""What `teach` refuses before anything is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from slow_server import slow_server
from teach_command import ledger, teach
from teacher import obedient, write_questions


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-k", "10001"), "Input should be less than or equal to 10000"),
        (("--levels", "0"), "0 is none; the levels are 1 (coarse) to 6 (fine)"),
        (("--levels", "1-7"), "7 is none; the levels are 1 (coarse) to 6 (fine)"),
        (("--levels", "fine"), "no list of levels"),
        (("--formats", "prose"), "no format 'prose'"),
        (("--profile", "longer"), "no profile 'longer'; did you mean 'long'?"),
        (("--gold", "seen"), "expected hidden or shown"),
        (("-k", "2", "--temperature", "0"), "are the same text"),
        (("--one-call",), "bundled levels are several levels"),
        (("--shard", "3/2"), "expected I/N"),
        (("--price", "{input: 1}"), "no 'output'"),
        (("--price", "free"), "takes a mapping"),
        (("--extra", "{temperature: 1}"), "extra repeats temperature"),
        (("--vllm", "{}"), "either --endpoint URL or --vllm SETTINGS"),
        (("--sandbox", "nope"), "--sandbox: no sandbox 'nope'; known: auto, bubblewrap"),
        (("--extra", "{top_k:20}"), "'top_k:20' is no key; write top_k: 20, with a space"),
        (("--concurrency", "99999999"), "Input should be less than or equal to 4096"),
        (("--reasoning", "tags"), "expected think, plain or drop"),
        (("--prompts", "nowhere"), "no folder nowhere"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_asked(
    questions: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    message: str,
) -> None:
    with slow_server(obedient) as server:
        assert teach(questions, server, tmp_path / "out", *words) == 2
        assert server.bodies == []
    assert message in capsys.readouterr().err


def test_a_prompt_with_an_unknown_variable_is_named_before_anything_is_asked(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "prompts"
    mine.mkdir()
    (mine / "natural.j2").write_text("{{ question }} {{ granularity }}")
    (mine / "symbolic.j2").write_text("{% if %}")
    with slow_server(obedient) as server:
        formats = ("--formats", "natural,symbolic")
        assert teach(questions, server, tmp_path / "out", "--prompts", str(mine), *formats) == 1
        assert server.bodies == []
    err = capsys.readouterr().err
    assert "natural.j2: a value is missing ('granularity' is undefined)" in err
    assert "symbolic.j2:1: not Jinja2" in err


def test_prompts_of_ones_own_are_used_and_cannot_reach_out_of_the_sandbox(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "prompts"
    mine.mkdir()
    (mine / "haiku.j2").write_text("Write verses. {{ question }}")
    (mine / "haiku.system.j2").write_text("You are a poet.")
    (mine / "evil.j2").write_text("{{ question.__class__.__mro__ }}")
    how = ("--prompts", str(mine), "--formats")
    with slow_server(obedient) as server:
        assert teach(questions, server, tmp_path / "out", *how, "haiku") == 0
        assert server.bodies[0]["messages"][0] == {"role": "system", "content": "You are a poet."}
        assert server.bodies[0]["messages"][1]["content"].startswith("Write verses. Tom has")
        asked = len(server.bodies)
        assert teach(questions, server, tmp_path / "two", *how, "evil") == 1
        assert len(server.bodies) == asked
    assert "evil.j2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("{", "not JSON"),
        ('{"id": "1", "dataset": "d", "split": "s", "question": "", "gold": "1"}', "no text in"),
        ('{"id": "1", "dataset": "d", "split": "s", "question": "x", "gold": "1", "kind": "?"}',
         "kind '?'"),
        ('{"colour": "red"}', "no column of a question"),
    ],
)  # fmt: skip
def test_a_file_without_questions_is_refused_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(text + "\n" if text else "")
    with slow_server(obedient) as server:
        assert teach(path, server, tmp_path / "out") == 1
        assert server.bodies == []
    err = capsys.readouterr().err
    assert message in err
    assert str(path) in err


def test_a_name_that_is_no_question_set_gets_a_suggestion(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert teach("svamb", "http://127.0.0.1:9/v1", tmp_path / "out") == 2
    assert "did you mean 'svamp'" in capsys.readouterr().err


def test_questions_without_a_reference_answer_are_taught_but_not_shown_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 3, gold="")
    with slow_server(obedient) as server:
        assert teach(questions, server, tmp_path / "out") == 0
        assert teach(questions, server, tmp_path / "two", "--gold", "shown") == 1
    assert "has no reference answer, which --gold shown needs" in capsys.readouterr().err
    assert ledger(tmp_path / "out")["grades"] == {"not_graded": 3}


def test_an_output_folder_that_holds_the_questions_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = write_questions(tmp_path / "traces.jsonl", 2)
    before = questions.read_bytes()
    with slow_server(obedient) as server:
        assert teach(questions, server, tmp_path) == 2
    assert "is an input" in capsys.readouterr().err
    assert questions.read_bytes() == before


def test_another_kind_of_journal_is_not_touched(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    (out / "journal").mkdir(parents=True)
    mine = out / "journal" / "notes.jsonl"
    mine.write_text('{"note": 1}\n')
    with slow_server(obedient) as server:
        assert teach(questions, server, out) == 1
    assert "not a line of a journal of replies" in capsys.readouterr().err
    assert mine.read_text() == '{"note": 1}\n'
