"""One training over several nodes: how SLURM starts it on each of them, and how a person does.

The step that calls this runs once, on the first node: it alone holds the job's lock and writes its
record. `srun` starts the host's command once on each node; the shell there puts in the node's
number, which exists inside the task only. The nodes meet at the first one, at a port that follows
from the job's number, so that two trainings on one node do not meet each other.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping, Sequence

from cotdistill.errors import Fault, FaultsError

_FIRST_PORT = 20000
_PORTS = 20000
_TIMEOUT_S = 60
_BY_HAND_PORT = "29500"


def on_all_nodes(
    command: Sequence[str], nodes: int, environment: Mapping[str, str], place: str
) -> tuple[list[str], dict[str, str]]:
    """Return the words and variables that start a command on every node of a SLURM job.

    Raises:
        FaultsError: this is no SLURM job: says what to type on each node; or the job has another
            number of nodes, or SLURM does not say which.
    """
    job = environment.get("SLURM_JOB_ID", "")
    if not job:
        raise FaultsError(no_slurm(command, nodes, environment, place))
    names = _nodes_of(job, environment, place)
    if len(names) != nodes:
        wrong = f"SLURM gave the job {len(names)} nodes ({', '.join(names)})"
        remedy = "the Snakefile of this run folder asks for them; generate it again"
        raise FaultsError(Fault(place, wrong, f"{nodes}, as hardware.nodes says", remedy))
    count = str(nodes)
    started = ["srun", "--nodes", count, "--ntasks", count, "--ntasks-per-node", "1"]
    started += ["--kill-on-bad-exit=1", "sh", "-c", _in_shell(command)]
    variables = {
        "NNODES": count,
        "MASTER_ADDR": _address_of(names[0], place),
        "MASTER_PORT": str(_FIRST_PORT + _number(job) % _PORTS),
    }
    return started, variables


def by_hand(command: Sequence[str], nodes: int, environment: Mapping[str, str]) -> list[str]:
    """Return what to type on each node, the first one first.

    >>> by_hand(["llamafactory-cli", "train", "a.yaml"], 2, {})[1].split()[2:]
    ['MASTER_PORT=29500', 'NODE_RANK=1', 'llamafactory-cli', 'train', 'a.yaml']
    """
    shared = {name: environment[name] for name in _HOST_READS if name in environment}
    shared |= {"NNODES": str(nodes), "MASTER_ADDR": "FIRST_NODE", "MASTER_PORT": _BY_HAND_PORT}
    lines = []
    for rank in range(nodes):
        variables = {**shared, "NODE_RANK": str(rank)}
        given = " ".join(f"{name}={value}" for name, value in variables.items())
        words = [_BY_RANK[word].format(**variables) if word in _BY_RANK else word
                 for word in _ranked(command)]  # fmt: skip
        lines.append(f"{given} {shlex.join(words)}")
    return lines


_HOST_READS = ("FORCE_TORCHRUN", "NPROC_PER_NODE")
_RANK, _ADDRESS, _PORT = "{rank}", "{address}", "{port}"
_BY_RANK = {_RANK: "{NODE_RANK}", _ADDRESS: "{MASTER_ADDR}", _PORT: "{MASTER_PORT}"}
_IN_SHELL = {_RANK: '"$SLURM_NODEID"', _ADDRESS: '"$MASTER_ADDR"', _PORT: '"$MASTER_PORT"'}


def _ranked(command: Sequence[str]) -> list[str]:
    """Return a command with places for what only its node knows; torchrun reads variables."""
    words = list(command)
    if "accelerate" not in words:
        return words
    at = words.index("launch") + 1
    places = ["--machine_rank", _RANK, "--main_process_ip", _ADDRESS, "--main_process_port", _PORT]
    return [*words[:at], *places, *words[at:]]


def _in_shell(command: Sequence[str]) -> str:
    words = [_IN_SHELL.get(word) or shlex.quote(word) for word in _ranked(command)]
    return f'NODE_RANK="$SLURM_NODEID" exec {" ".join(words)}'


def _number(job: str) -> int:
    digits = job.partition("_")[0]
    return int(digits) if digits.isdecimal() else 0


def _nodes_of(job: str, environment: Mapping[str, str], place: str) -> list[str]:
    """Return the names of the job's nodes, the first one first."""
    listed = environment.get("SLURM_JOB_NODELIST") or environment.get("SLURM_NODELIST")
    if not listed:
        listed = _answer(["squeue", "--noheader", "--jobs", job, "--format", "%N"], place)
    return _answer(["scontrol", "show", "hostnames", listed.strip()], place).split()


def _address_of(node: str, place: str) -> str:
    """Return where SLURM reaches a node, which its name need not say."""
    shown = _answer(["scontrol", "show", "node", node, "--oneliner"], place)
    found = [word.partition("=")[2] for word in shown.split() if word.startswith("NodeAddr=")]
    return found[0] if found else node


def _answer(command: Sequence[str], place: str) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        wrong = f"{command[0]} does not answer ({error})"
        raise FaultsError(Fault(place, wrong, "SLURM's commands on the nodes")) from error
    if done.returncode or not done.stdout.strip():
        reason = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        raise FaultsError(Fault(place, f"{' '.join(command)}: {reason}", "the nodes of this job"))
    return done.stdout


def no_slurm(
    command: Sequence[str], nodes: int, environment: Mapping[str, str], place: str
) -> Fault:
    """Return the fault of a training over several nodes outside SLURM, with what to type."""
    lines = "\n".join(f"  {line}" for line in by_hand(command, nodes, environment))
    wrong = f"one training over {nodes} nodes, and this is no SLURM job"
    remedy = (
        "run it on the cluster (`-- --executor slurm`), or type on each node, FIRST_NODE being the "
        f"first one's name, and then run this again:\n{lines}"
    )
    return Fault(place, wrong, "", remedy)
