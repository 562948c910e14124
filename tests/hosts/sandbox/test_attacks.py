from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cotdistill.hosts.sandbox.execution import Limits, Tier
from cotdistill.hosts.sandbox.sandbox import Sandbox, SandboxError
from hostile_programs import ATTACKS, Attack

CONFINING: tuple[Tier, ...] = ("bubblewrap", "landlock")


@dataclass(frozen=True)
class Host:
    secret: Path
    port: int


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    secret = tmp_path_factory.mktemp("home") / "secret"
    secret.write_text("not for programs\n")
    secret.chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Host(secret, server.getsockname()[1])


@dataclass(frozen=True)
class Sandboxes:
    """One for programs that only a limit of time ends, one for those that end before any."""

    hasty: Sandbox
    patient: Sandbox


@pytest.fixture(scope="module", params=CONFINING)
def sandboxes(request: pytest.FixtureRequest) -> Iterator[Sandboxes]:
    hasty = Limits(wall=4, cpu=1, memory=1024, output=16)
    patient = Limits(wall=60, cpu=30, memory=1024, output=16)
    try:
        opened = Sandboxes(*(Sandbox(request.param, limits=each) for each in (hasty, patient)))
    except SandboxError as error:
        pytest.skip(str(error))
    with opened.hasty, opened.patient:
        yield opened


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_a_hostile_program_is_contained_and_the_verdict_says_so(
    sandboxes: Sandboxes, host: Host, attack: Attack
) -> None:
    by_time = {"timeout", "cpu"} & set(attack.verdicts)
    sandbox = sandboxes.hasty if by_time else sandboxes.patient
    program = attack.program
    for name, value in (
        ("{SECRET!r}", repr(str(host.secret))),
        ("{FOLDER!r}", repr(str(host.secret.parent))),
        ("{PORT}", str(host.port)),
    ):
        program = program.replace(name, value)
    before = host.secret.stat()
    result = sandbox.run(program)
    assert result.verdict in attack.verdicts, result
    assert attack.says in result.output
    assert "WORKED" not in result.output
    for text in (*attack.reaches, "not for programs"):
        assert text not in result.output + result.value + result.detail
    assert [path.name for path in host.secret.parent.iterdir()] == ["secret"]
    assert host.secret.stat() == before
    assert sandbox.run("print(6 * 7)").answer == "42"
