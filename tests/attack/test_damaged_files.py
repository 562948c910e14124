"""Damaged files: every verb ends with a line that says so, and changes nothing that it reads."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from attack.children import outcomes
from attack.damage import Damage, damages
from attack.folders import hashes
from attack.verbs import RIGHT, VERBS, Verb
from cotdistill.cli.main import main
from scripted_server import serving

CASES_OF_A_FILE = 24
CASES_OF_A_HOST_S_FILE = 6
ATTACKED = [verb for verb in VERBS if verb.reads]


def attacked(
    verb: Verb, template: Path, place: Path, server: str
) -> Callable[[tuple[str, Damage]], Any]:
    """Return what damages one file, runs the verb in a copy of the folder, and says what came."""

    def run(case: tuple[str, Damage]) -> dict[str, Any]:
        name, (_, damage) = case
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(template, place)
        damage(place / name)
        before = hashes(place)
        words = verb.words.replace("{server}", server).split()
        if verb.hosted:
            status = apart(place, words)
        else:
            with contextlib.chdir(place):
                status = main(words)
        after = hashes(place)
        changed = [name for name in before if after.get(name) != before[name]]
        left = [name for name in after if name.endswith("~")]
        return {"status": status, "changed": changed, "left": left}

    return run


def apart(place: Path, words: Sequence[str]) -> int:
    """Run a verb in a process of its own, and print what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "cotdistill", *words],
        cwd=place,
        env=os.environ | {"COTDISTILL_DATA": str(place / "prepared")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    print(done.stdout.decode("utf-8", "replace"))  # noqa: T201 -- it is what the case said
    return done.returncode


@pytest.mark.parametrize("verb", ATTACKED, ids=lambda verb: verb.name)
def test_a_damaged_file_is_named_and_nothing_is_lost(
    verb: Verb, tmp_path: Path, part_of: Any, count: Counter[str]
) -> None:
    template = tmp_path / "template"
    template.mkdir()
    verb.make(template, 1)
    most = CASES_OF_A_HOST_S_FILE if verb.hosted else CASES_OF_A_FILE
    cases = [(name, damage) for name in verb.reads for damage in damages(template / name, most)]
    cases = part_of(cases, len(cases) if verb.hosted else 12, len(verb.name))
    with serving(lambda *_: RIGHT) if verb.answers else contextlib.nullcontext() as script:
        server = script.url if script else ""
        found = outcomes(cases, attacked(verb, template, tmp_path / "attacked", server))
    faults = []
    for (name, (words, _)), outcome in zip(cases, found, strict=True):
        wrong = fault(verb, outcome)
        if wrong:
            faults.append(f"{verb.name}: {name}: {words}: {wrong}\n{outcome.printed[-300:]}")
    assert not faults, f"{len(faults)} of {len(cases)}\n" + "\n".join(faults)
    count["damaged files"] += len(cases)


def fault(verb: Verb, outcome: Any) -> str:
    """Return what is wrong with how a case ended, or an empty text."""
    if outcome.ended != "fine":
        return outcome.ended
    result = outcome.result
    if "Traceback" in outcome.printed:
        return "a traceback"
    if result["status"] not in (0, 1, 2):
        return f"status {result['status']}"
    if result["status"] and not outcome.printed.strip():
        return "not a word"
    lost = [
        changed
        for changed in result["changed"]
        if changed in verb.reads and changed not in verb.keeps
    ]
    if lost and not verb.name.startswith("generate"):
        return f"changed {lost}"
    if result["left"]:
        return f"left {result['left']}"
    if result["status"] == 1 and not verb.finds and not _names(outcome.printed, verb.reads):
        return "the file is not named"
    return ""


def _names(printed: str, names: Sequence[str]) -> bool:
    """Whether a message names a file that was read, or the folder that it is in."""
    parts = {part for name in names for part in (Path(name).stem, *Path(name).parts[:-1])}
    return any(part in printed for part in parts)
