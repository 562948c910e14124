"""kill -9 at any moment, then the same command: it ends as if it had never been killed.

`run` and its hosts are killed in tests/runs/test_kills.py.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from attack.folders import hashes
from attack.verbs import RIGHT, VERBS, Verb, marked
from scripted_server import serving

KILLED = [verb for verb in VERBS if verb.kills]
LONGEST_S = 600


@contextlib.contextmanager
def judge_of(verb: Verb) -> Iterator[str]:
    """Run the judge that a verb asks, if it asks one, and give its address."""
    if not verb.answers:
        yield ""
        return
    with serving(lambda *_: RIGHT) as script:
        yield script.url


def start(verb: Verb, folder: Path, server: str) -> subprocess.Popen[bytes]:
    words = verb.words.replace("{server}", server).split()
    return subprocess.Popen(
        [sys.executable, "-m", "cotdistill", *words],
        cwd=folder,
        env=os.environ | {"COTDISTILL_DATA": str(folder / "prepared")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def finish(verb: Verb, folder: Path, server: str) -> float:
    """Run a verb to its end and return its seconds."""
    began = time.monotonic()
    process = start(verb, folder, server)
    output, _ = process.communicate(timeout=LONGEST_S)
    assert process.returncode == 0 or (verb.finds and process.returncode == 1), output.decode()
    assert b"Traceback" not in output, output.decode()
    return time.monotonic() - began


def kill_at(verb: Verb, folder: Path, server: str, moment: float) -> bool:
    """Start a verb, kill its whole session at a moment, and return whether it was still at it."""
    process = start(verb, folder, server)
    try:
        process.communicate(timeout=moment)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return True


def outputs(verb: Verb, folder: Path) -> dict[str, str]:
    """Return the hashes of all files but those that may differ, and locks, which stay empty."""
    return {
        name: digest
        for name, digest in hashes(folder).items()
        if not name.endswith(".lock") and not any(fnmatch(name, kept) for kept in verb.keeps)
    }


@pytest.mark.parametrize("verb", marked(KILLED))
def test_a_killed_verb_ends_as_if_it_had_never_been_killed(
    verb: Verb, tmp_path: Path, part_of: Any, count: Counter[str]
) -> None:
    # the folder has one name, as some outputs hold their own path
    template, folder, undisturbed = (tmp_path / name for name in ("t", "folder", "undisturbed"))
    template.mkdir()
    verb.make(template, verb.size)
    chosen = random.Random(verb.name)
    # in `make test` a verb is killed once, and only every third verb
    moments = [chosen.uniform(0.05, 1.0) for _ in range(verb.kills)]
    if len(part_of(moments, len(moments))) < len(moments):
        if verb.hosted or KILLED.index(verb) % 3:
            pytest.skip("killed by make attack")
        moments = moments[:1]
    with judge_of(verb) as server:
        shutil.copytree(template, folder)
        seconds = finish(verb, folder, server)
        expected = outputs(verb, folder)
        folder.rename(undisturbed)
        for moment in moments:
            shutil.copytree(template, folder)
            was_killed = kill_at(verb, folder, server, moment * seconds)
            finish(verb, folder, server)
            found = outputs(verb, folder)
            assert {n: d for n, d in found.items() if n in expected} == expected, moment
            more = {
                name
                for name, digest in found.items()
                # `rescore` numbers what it makes again
                if name not in expected and expected.get(name.replace("-2.", ".")) != digest
            }
            assert not more, f"left behind after {moment:.2f} of {seconds:.2f} s: {more}"
            shutil.rmtree(folder)
            count["kills" if was_killed else "kills that came too late"] += 1


@pytest.mark.parametrize("verb", marked(KILLED))
def test_the_same_command_twice_at_once_ends_as_one_alone(
    verb: Verb, tmp_path: Path, part_of: Any, count: Counter[str]
) -> None:
    chosen = part_of(KILLED, 5)
    if verb not in chosen or (verb.hosted and len(chosen) < len(KILLED)):
        pytest.skip("started twice by make attack")
    template, folder = tmp_path / "t", tmp_path / "folder"
    template.mkdir()
    verb.make(template, 1)
    with judge_of(verb) as server:
        shutil.copytree(template, folder)
        finish(verb, folder, server)
        expected = outputs(verb, folder)
        shutil.rmtree(folder)
        shutil.copytree(template, folder)
        pair = [start(verb, folder, server) for _ in range(2)]
        printed = [process.communicate(timeout=LONGEST_S)[0].decode() for process in pair]
    statuses = [process.returncode for process in pair]
    assert 0 in statuses or verb.finds, printed
    for status, text in zip(statuses, printed, strict=True):
        assert "Traceback" not in text, text
        assert status == 0 or verb.finds or "another program" in text, text
    found = outputs(verb, folder)
    assert {name: found.get(name) for name in expected} == expected
    count["commands twice at once"] += 1
