"""`teach` stopped, killed, started twice, and gone on with."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cotdistill.hosts.request import Choice, Reply, Request, Take
from cotdistill.teach.asking import Answer, Ask
from cotdistill.teach.engine import Engine
from cotdistill.teach.store import Store
from slow_server import completion, slow_server
from teach_command import teach, traces
from teacher import level_in, obedient, write_questions


def started(questions: Path, url: str, out: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cotdistill", "teach", str(questions), "--endpoint", url]
    command += ["--model", "m", "-o", str(out), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition: Any, seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_interrupt_keeps_what_is_under_way_and_writes_the_outputs(
    tmp_path: Path, number: signal.Signals
) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 200)
    with slow_server(obedient, latency=0.3) as server:
        program = started(questions, server.url, tmp_path / "out", "--concurrency", "4")
        wait_for(lambda: server.answered >= 4)
        program.send_signal(number)
        _, err = program.communicate(timeout=300)
        asked = len(server.bodies)
    assert program.returncode == 1
    assert "stopped at an interrupt" in err
    assert len(traces(tmp_path / "out")) == asked < 200


def test_a_second_interrupt_stops_at_once(tmp_path: Path) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 50)
    with slow_server(obedient, latency=60.0) as server:
        program = started(questions, server.url, tmp_path / "out")
        wait_for(lambda: server.bodies)
        program.send_signal(signal.SIGINT)
        time.sleep(2)  # two at once would count as one
        program.send_signal(signal.SIGINT)
        program.communicate(timeout=300)
    assert program.returncode == 130


def test_no_file_holds_the_key(questions: Path, tmp_path: Path) -> None:
    key = "sk-secret-1234567890"
    with slow_server(lambda body: completion(f"{obedient(body)}", 3, body)) as server:
        environment = pytest.MonkeyPatch()
        environment.setenv("TEACHER_KEY", key)
        teach(questions, server, tmp_path / "out", "--key-env", "TEACHER_KEY")
        environment.undo()
        assert f"Bearer {key}" in server.headers[0]
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(files) >= 4
    assert not any(key.encode() in path.read_bytes() for path in files)


def test_two_programs_in_one_folder_are_refused_unless_each_has_a_shard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 30)
    out = tmp_path / "out"
    with slow_server(obedient, latency=0.2) as server:
        first = started(questions, server.url, out, "--shard", "1/2", "--concurrency", "2")
        wait_for(lambda: server.bodies)
        assert teach(questions, server, out) == 1
        assert "another program works in it" in capsys.readouterr().err
        assert teach(questions, server, out, "--shard", "1/3") == 1
        assert teach(questions, server, out, "--shard", "2/2") == 0
        first.communicate(timeout=60)
        assert len(server.bodies) == 30
        assert teach(questions, server, out) == 0
        assert len(server.bodies) == 30
    alone = tmp_path / "alone"
    with slow_server(obedient) as server:
        teach(questions, server, alone)
    assert (alone / "traces.jsonl").read_bytes() == (out / "traces.jsonl").read_bytes()


@pytest.mark.slow
def test_a_program_killed_a_hundred_times_pays_nothing_twice_and_gives_the_same_bytes(
    tmp_path: Path,
) -> None:
    """Only what was under way at a kill may be asked again: at most `concurrency` for each."""
    import random

    chance = random.Random(7)
    questions = write_questions(tmp_path / "q.jsonl", 1500)
    how = ("--levels", "1,5", "--concurrency", "4")
    with slow_server(obedient) as server:
        assert teach(questions, server, tmp_path / "calm", *how) == 0
    out = tmp_path / "out"
    kills = 0
    with slow_server(obedient, latency=0.02) as server:
        while kills < 100:
            before = len(server.bodies)
            program = started(questions, server.url, out, *how)
            wanted = before + chance.randrange(0, 30)
            while program.poll() is None and len(server.bodies) <= wanted:
                time.sleep(0.002)
            time.sleep(chance.random() * 0.03)
            if program.poll() is not None:
                break
            os.kill(program.pid, signal.SIGKILL)
            program.communicate()
            kills += 1
        assert kills >= 90
        assert teach(questions, server, out, *how) == 0
        keys = Counter(json.dumps(body, sort_keys=True) for body in server.bodies)
    assert len(keys) == 3000
    assert len(server.bodies) - len(keys) <= 4 * kills
    for name in ("traces.jsonl", "failures.jsonl"):
        assert (out / name).read_bytes() == (tmp_path / "calm" / name).read_bytes()


def test_a_torn_last_line_answers_nothing_and_is_asked_again(
    questions: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with slow_server(obedient) as server:
        teach(questions, server, out, "--levels", "3")
        (segment,) = (out / "journal").glob("*.jsonl")
        whole = segment.read_bytes()
        segment.write_bytes(whole[:-20])
        before = (out / "traces.jsonl").read_bytes()
        assert teach(questions, server, out, "--levels", "3") == 0
        assert len(server.bodies) == 7
    assert (out / "traces.jsonl").read_bytes() == before
    assert level_in(server.bodies[0]) == 3


def test_what_goes_wrong_in_a_pause_is_raised_although_nothing_is_asked_afterwards(
    tmp_path: Path,
) -> None:
    failed: list[str] = []

    def course(prompt: str) -> Generator[Sequence[Ask], Sequence[Answer], None]:
        yield [Ask(Request("m", prompt=prompt, key=prompt.encode().hex()))]
        if prompt == "first":
            failed.append(prompt)
            raise ZeroDivisionError

    def asker(requests: Iterator[Request], take: Take) -> None:
        async def main() -> None:
            first, second = requests
            take(first, Reply((Choice("4", finish_reason="stop"),)))
            while not failed:  # a pause, in which the first course goes on
                await asyncio.sleep(0.001)
            take(second, Reply((Choice("4", finish_reason="stop"),)))

        asyncio.run(main())

    with Store(tmp_path) as store, pytest.raises(ZeroDivisionError):
        Engine(store, {"": asker}).ask(course(prompt) for prompt in ("first", "second"))
