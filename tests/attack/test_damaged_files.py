"""Damaged files: every verb ends with a line that says so, and changes nothing that it reads."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from attack.children import outcomes
from attack.damage import Damage, damages
from attack.folders import hashes
from attack.verbs import RIGHT, VERBS, Verb, marked
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


@functools.cache
def load_hosts() -> None:
    """Import once what each process of a host would: seconds of each case are its imports."""
    import lm_eval.models.huggingface  # noqa: F401


def apart(place: Path, words: Sequence[str]) -> int:
    """Run a verb in a process of its own, and print what it printed."""
    load_hosts()
    with tempfile.TemporaryFile() as printed:
        sys.stdout.flush()
        child = os.fork()
        if not child:
            _become(place, words, printed.fileno())
        try:
            _, status = os.waitpid(child, 0)
        except BaseException:  # the alarm of a case that hangs
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise
        printed.seek(0)
        print(printed.read().decode("utf-8", "replace"))  # noqa: T201 -- it is what the case said
    return os.waitstatus_to_exitcode(status)


def _become(place: Path, words: Sequence[str], printed: int) -> NoReturn:
    """Be `python -m cotdistill WORDS` in a folder, and never return."""
    status = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        os.dup2(printed, 1)
        os.dup2(printed, 2)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False, errors="backslashreplace")  # noqa: SIM115
        warnings.resetwarnings()  # pytest makes errors of them
        os.environ["COTDISTILL_DATA"] = str(place / "prepared")
        os.chdir(place)
        status = main(list(words))
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


@pytest.mark.parametrize("verb", marked(ATTACKED))
def test_a_damaged_file_is_named_and_nothing_is_lost(
    verb: Verb, tmp_path: Path, part_of: Any, count: Counter[str]
) -> None:
    if verb.hosted:
        pytest.importorskip("llamafactory")
        pytest.importorskip("lm_eval")
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
