"""A SLURM of two nodes on loopback, from Debian's packages; its daemons are stopped by their pid.

It cannot be started where slurmctld is missing, where a SLURM is configured already, and by users
without root: the workflow's plugin drops SLURM_CONF, so the configuration must be at
/etc/slurm/slurm.conf.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PLACE = Path("/etc/slurm/slurm.conf")
PROGRAMS = {
    name: shutil.which(name, path=os.defpath + ":/usr/sbin:/sbin")
    for name in ("munged", "slurmctld", "slurmd", "srun", "sinfo", "scontrol", "scancel", "squeue")
}
CONFIG = """\
ClusterName=loop
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdParameters=config_overrides
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/run/munge.socket
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPort={port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
GresTypes=gpu
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
ReturnToService=2
MinJobAge=300
SlurmctldTimeout=300
SlurmdTimeout=300
KillWait=5
NodeName=n[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{first}-{second}] CPUs=4 \
CoresPerSocket=4 RealMemory=4000 Gres=gpu:2 State=UNKNOWN
PartitionName=loop Nodes=ALL Default=YES MaxTime=60 State=UP
"""
PATIENCE_S = 300


def why_not() -> str:
    """Return why no SLURM can be started here, or an empty text."""
    missing = [name for name, path in PROGRAMS.items() if path is None]
    if missing:
        return f"{', '.join(missing)} not installed: make test-slurm"
    if os.geteuid() != 0:
        return "only root may start SLURM's daemons"
    if PLACE.exists() and not PLACE.is_symlink():
        return f"{PLACE} is there: this machine has a SLURM of its own"
    return ""


def free_ports(count: int) -> list[int]:
    """Return ports one after another that nobody listens on."""
    for first in range(26817, 30000, count + 1):
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return list(range(first, first + count))
    raise AssertionError("no free ports")


def until(what: str, command: list[str], wanted: str) -> None:
    """Wait until a command prints something."""
    deadline = time.monotonic() + PATIENCE_S
    printed = ""
    while time.monotonic() < deadline:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        printed = done.stdout + done.stderr
        if wanted in done.stdout:
            return
        time.sleep(0.5)
    raise AssertionError(f"{what}: {printed}")


@contextmanager
def loopback_slurm(folder: Path) -> Iterator[None]:
    """Start two idle nodes, with their files in a folder; at the end cancel what still runs."""
    for name in ("run", "log", "state", "spool/n1", "spool/n2"):
        (folder / name).mkdir(parents=True)
    for path in (folder, folder.parent, folder / "run"):
        path.chmod(0o755)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    port, first, second = free_ports(3)
    host = socket.gethostname().partition(".")[0]
    config = folder / "slurm.conf"
    config.write_text(
        CONFIG.format(host=host, folder=folder, port=port, first=first, second=second)
    )
    for number in (0, 1):
        (folder / f"gpu{number}").touch()  # any file will do for a device that nobody opens
    (folder / "gres.conf").write_text(f"NodeName=n[1-2] Name=gpu File={folder}/gpu[0-1]\n")
    PLACE.parent.mkdir(exist_ok=True)
    links = {PLACE: config, PLACE.parent / "gres.conf": folder / "gres.conf"}
    for link, target in links.items():
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    run = folder / "run"
    munged = [
        str(PROGRAMS["munged"]), "--force", "--foreground", f"--key-file={key}",
        f"--socket={run}/munge.socket", f"--pid-file={run}/munged.pid",
        f"--log-file={folder}/log/munged.log", f"--seed-file={folder}/state/munge.seed",
        "--num-threads=2",
    ]  # fmt: skip
    commands = [
        munged,
        [str(PROGRAMS["slurmctld"]), "-D", "-c"],
        [str(PROGRAMS["slurmd"]), "-D", "-N", "n1"],
        [str(PROGRAMS["slurmd"]), "-D", "-N", "n2"],
    ]
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            log = (folder / "log" / f"{len(daemons)}.out").open("wb")
            with log:
                daemons.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))
            if command is munged:
                until("munge", ["ls", str(run)], "munge.socket")
        until("two idle nodes", ["sinfo", "--noheader", "--format", "%D %T"], "2 idle")
        yield
    finally:
        if len(daemons) == len(commands):
            cancel_all()
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(30)
            if daemon.poll() is None:
                daemon.kill()
        for link in links:
            link.unlink(missing_ok=True)


def cancel_all() -> None:
    """Cancel every job, and wait until none is left: a job would outlive the daemons."""
    deadline = time.monotonic() + PATIENCE_S
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(["scancel", "--user", "root", "--full"], timeout=60, check=False)
        while time.monotonic() < deadline:
            command = ["squeue", "--noheader"]
            left = subprocess.run(command, capture_output=True, timeout=60, check=False)
            if left.returncode or not left.stdout.strip():
                return
            time.sleep(0.5)
