"""`srun`, `scontrol` and `squeue` that start all tasks on this machine, for tests without SLURM."""

from __future__ import annotations

from pathlib import Path

_SRUN = """#!/bin/sh
# srun --nodes N --ntasks N --ntasks-per-node 1 --kill-on-bad-exit=1 COMMAND...
nodes=$2; shift 7; rank=0; started=
while [ "$rank" -lt "$nodes" ]; do
  SLURM_NODEID=$rank "$@" & started="$started $!"; rank=$((rank + 1))
done
status=0
for one in $started; do wait "$one" || status=$?; done
exit $status
"""
_SCONTROL = """#!/bin/sh
# scontrol show hostnames a,b; scontrol show node a --oneliner
case "$2" in
  hostnames) echo "$3" | tr , '\\n' ;;
  node) echo "NodeName=$3 NodeAddr=$3 State=IDLE" ;;
esac
"""
_SQUEUE = """#!/bin/sh
echo localhost,localhost
"""


def fake_slurm(folder: Path) -> Path:
    """Write the three programs into a folder and return it, to be put on PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("srun", _SRUN), ("scontrol", _SCONTROL), ("squeue", _SQUEUE)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder
