from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cotdistill.hosts.sandbox.execution import Execution, Limits
from cotdistill.hosts.sandbox.launch import Started
from cotdistill.hosts.sandbox.program import grade_program, program_of
from cotdistill.hosts.sandbox.remedies import remedy
from cotdistill.hosts.sandbox.sandbox import Sandbox, SandboxError, examine

GUARDED = 'def main():\n    print(36)\n\nif __name__ == "__main__":\n    main()'
OPTIONS = {"A": "32", "B": "64", "C": "40"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    try:
        opened = Sandbox(workers=2, limits=Limits(wall=30, cpu=5))
    except SandboxError as error:
        pytest.skip(str(error))
    with opened:
        yield opened


@pytest.mark.parametrize(
    ("response", "gold"),
    [
        ("```python\nprint(36)\n```", "36"),
        ("Here it is:\n```py\nprint(36)\n```\nIt prints:\n```\n35\n```", "36"),
        ("<think>maybe print(35)</think>```\nprint(36)", "36"),
        (GUARDED, "36"),
        ("from sympy import *\nx = symbols('x')\nprint(solve(x - 36)[0])", "36"),
        ("from __future__ import annotations\nprint(36)", "36"),
        ("total = 5\ndef more():\n    global total\n    total += 1\nmore()\nprint(total)", "6"),
        ("print(36)\nexit()", "36"),
        ("print(36)\nprint(1 / 0)", "36"),
        ("print(12)\nprint(24)\nprint(36)\n", "36"),
        ("print('Total cost of 3 items:', 36)", "36"),
        ("print(0.1 + 0.2)", "0.3"),
        ("print(36.0000000001)", "36"),
        ("print(1e16)", "10000000000000000"),
        ("print(0.5)", r"\frac12"),
        ("print(3.0)", "3"),
        ("print([1, 2])", "(1,2)"),
        ("import sympy\nprint(2 * sympy.sqrt(2))", r"2\sqrt2"),
        ("import numpy as np\nprint([np.float64(0.5)])", "(0.5)"),
        ("apples = 30\napples + 6", "36"),
        ("Let's write a program to solve it.\n# apples\napples = 36\nprint(apples)", "36"),
    ],
)
def test_programs_in_every_usual_form_are_found_run_and_graded(
    sandbox: Sandbox, response: str, gold: str
) -> None:
    grade = grade_program(sandbox.run(program_of(response)), gold)
    assert grade is not None
    assert grade.correct, grade


def test_an_option_or_its_value_answers_a_multiple_choice_question(sandbox: Sandbox) -> None:
    for printed in ("64", "'B'"):
        grade = grade_program(sandbox.run(f"print({printed})"), "B", options=OPTIONS)
        assert grade is not None
        assert grade.correct


@pytest.mark.parametrize(
    ("program", "verdict", "detail"),
    [
        ("let x = 36; console.log(x)", "unsupported", "not a Python program"),
        ("print 36", "unsupported", "not a Python program"),
        ("print(36)\x00", "unsupported", "not a Python program"),
        ("print('\ud800')", "unsupported", "not a Python program"),
        ("x" * ((1 << 20) + 1), "unsupported", "longer than 1 MiB"),
        ("import pandas", "unsupported", "the sandbox has no module pandas"),
        ("print(unknown)", "raised", "NameError: name 'unknown' is not defined"),
        ("", "ok", ""),
    ],
)
def test_what_is_no_program_here_is_said_in_one_line(
    sandbox: Sandbox, program: str, verdict: str, detail: str
) -> None:
    result = sandbox.run(program)
    assert (result.verdict, result.answer) == (verdict, "")
    assert detail in result.detail
    assert "\n" not in result.detail


def test_a_fence_of_another_language_holds_no_program() -> None:
    assert program_of("```javascript\nconsole.log(36)\n```") == ""


def test_results_come_in_order_and_equal_programs_give_equal_results(sandbox: Sandbox) -> None:
    programs = [f"print({number} * 2)" for number in range(40)] * 2
    results = list(sandbox.run_many(iter(programs)))
    assert [result.answer for result in results] == [str(n * 2) for n in range(40)] * 2


def test_random_numbers_and_the_order_of_sets_are_the_same_in_every_run() -> None:
    program = (
        "import random\nimport numpy\nprint(random.random(), numpy.random.rand(), {'a', 'b', 'c'})"
    )
    outputs = set()
    for _ in range(2):
        with Sandbox() as fresh:
            outputs.add(fresh.run(program).output)
    assert len(outputs) == 1


def test_no_program_finds_what_another_left(sandbox: Sandbox) -> None:
    sandbox.run("import builtins, sympy\nbuiltins.left = sympy.left = 1")
    results = sandbox.run_many(
        [f"import sympy\nprint(hasattr(sympy, 'left'), {n})" for n in (1, 2)]
    )
    assert [result.output for result in results] == ["False 1\n", "False 2\n"]


def test_a_worker_that_was_killed_is_replaced_and_no_program_is_lost(sandbox: Sandbox) -> None:
    sandbox.run("print('started')")
    for started in list(sandbox._running):
        os.kill(started.process.pid, signal.SIGKILL)
        started.process.wait()
    results = list(sandbox.run_many(f"print({n} + 100)" for n in range(6)))
    assert [result.answer for result in results] == [str(n + 100) for n in range(6)]


def test_a_sandbox_that_breaks_says_nothing_about_the_program(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Started:
        raise OSError("no more processes")

    with Sandbox(sandbox.tier) as broken:
        monkeypatch.setattr("cotdistill.hosts.sandbox.sandbox.start", refuse)
        for started in list(broken._running):
            started.process.kill()
            started.process.wait()
        result = broken.run("print(1)")
    assert (result.verdict, result.detail) == ("sandbox_failed", "no more processes")
    assert grade_program(result, "1") is None


def test_the_plain_tier_limits_programs_and_is_used_only_when_it_is_named() -> None:
    with Sandbox("plain", limits=Limits(wall=120, cpu=1)) as plain:
        assert plain.tier == "plain"
        assert plain.run("print(6 * 7)").answer == "42"
        assert plain.run("import os; print(os.path.exists('/etc/passwd'))").answer == "True"
        assert plain.run("import os; print(sorted(os.environ))").answer.count("TOKEN") == 0
        assert plain.run("while True: pass").verdict in ("cpu", "timeout")


def test_an_unknown_tier_is_named() -> None:
    with pytest.raises(SandboxError, match="no sandbox 'docker'; known: auto, bubblewrap"):
        Sandbox("docker")  # type: ignore[arg-type]


def test_where_bubblewrap_is_missing_the_next_tier_runs_and_the_way_to_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cotdistill.hosts.sandbox.launch.bubblewrap_commands", list)
    tried = {one.tier: one for one in examine()}
    assert not tried["bubblewrap"].works
    assert tried["bubblewrap"].fault == "bubblewrap is not installed"
    assert tried["bubblewrap"].remedy == "type: pip install 'cotdistill[sandbox]'"


def test_a_bubblewrap_that_cannot_make_namespaces_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = tmp_path / "bwrap"
    refusing.write_text(
        "#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n"
    )
    refusing.chmod(0o755)
    monkeypatch.setattr(
        "cotdistill.hosts.sandbox.launch.bubblewrap_commands", lambda: [str(refusing)]
    )
    with pytest.raises(SandboxError, match="setting up uid map: Permission denied; in a container"):
        Sandbox("bubblewrap")


def test_a_bubblewrap_that_confines_nothing_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The probe runs in it, finds a file of the host, and the tier is refused."""
    open_door = tmp_path / "bwrap"
    inside = Path("plugins/cotdistill/hosts/sandbox/inside").resolve()
    open_door.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        "command = sys.argv[sys.argv.index('--') + 1:]\n"
        f"command = [part.replace('/inside/', {str(inside)!r} + '/') for part in command]\n"
        "command[-1] = command[-1].replace('\"bubblewrap\"', '\"plain\"')\n"
        "os.execv(command[0], command)\n"
    )
    open_door.chmod(0o755)
    monkeypatch.setattr(
        "cotdistill.hosts.sandbox.launch.bubblewrap_commands", lambda: [str(open_door)]
    )
    with pytest.raises(
        SandboxError, match=r"sympy does not load|a program reached a file of the user"
    ):
        Sandbox("bubblewrap")


@pytest.mark.parametrize(
    ("name", "value", "command"),
    [
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "apparmor_restrict_unprivileged_userns=0",
        ),
        ("kernel/unprivileged_userns_clone", "0", "unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", "max_user_namespaces=15000"),
    ],
)
def test_the_kernels_own_switch_is_named_where_it_is_off(
    tmp_path: Path, name: str, value: str, command: str
) -> None:
    switch = tmp_path / "proc/sys" / name
    switch.parent.mkdir(parents=True)
    switch.write_text(f"{value}\n")
    assert command in remedy("bubblewrap", "Permission denied", tmp_path)


def test_a_worker_ends_with_the_command_that_started_it(tmp_path: Path) -> None:
    """SIGKILL leaves no chance to clean up; the program that runs then must end too."""
    script = (
        "from cotdistill.hosts.sandbox.sandbox import Sandbox\n"
        "sandbox = Sandbox()\n"
        "print(next(iter(sandbox._running)).process.pid, flush=True)\n"
        "sandbox.run('while True: pass')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as command:
        assert command.stdout is not None
        line = command.stdout.readline()
        if not line.strip():
            pytest.skip("no sandbox works here")
        worker = int(line)
        command.kill()
    for _ in range(600):
        if not Path(f"/proc/{worker}").exists():
            return
        time.sleep(0.1)
    pytest.fail(f"the worker {worker} is still there")


def test_an_answer_is_the_last_line_or_the_value() -> None:
    assert Execution("ok", "\n \n").answer == ""
    assert Execution("ok", "7\n", "9").answer == "7"
    assert Execution("ok", "x = 2.5 and 1.23456789012345").answer == "x = 2.5 and 1.23456789"
