"""A scheduler of one machine for Snakemake's cluster-generic: `qsub`, `qdel`, and the state.

Like PBS or LSF it starts a script later, without the variables of the shell that submitted it.
"""

from __future__ import annotations

import os
from pathlib import Path

_QSUB = """#!/bin/sh
# qsub WORDS SCRIPT: start the script by itself and print the number of the job
script= words=$*
for script in "$@"; do :; done
number=$(ls {jobs} | wc -l)
mkdir {jobs}/$number && cp "$script" {jobs}/$number/script && echo "$words" > {jobs}/$number/words
cd / && setsid env -i PATH=/usr/bin:/bin HOME="$HOME" PYTHONPATH="$PYTHONPATH" sh -c '
  sh {jobs}/$1/script > {jobs}/$1/output 2>&1
  echo $? > {jobs}/$1/status' - $number > /dev/null 2>&1 &
echo $! > {jobs}/$number/pid
echo $number
"""
_STATUS = """#!/bin/sh
# status NUMBER: running, success or failed
job={jobs}/$1
if [ -s $job/status ]; then
  [ "$(cat $job/status)" = 0 ] && echo success || echo failed
elif kill -0 "$(cat $job/pid)" 2> /dev/null; then echo running
elif [ "$(cat $job/status 2> /dev/null)" = 0 ]; then echo success
else echo failed
fi
"""
_QDEL = """#!/bin/sh
# qdel NUMBER...
for number in "$@"; do kill -KILL -- -"$(cat {jobs}/$number/pid)"; done
"""


class LocalCluster:
    """The three programs in a folder, and the jobs that they were given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jobs = folder / "jobs"
        self.jobs.mkdir(parents=True)
        for name, text in (("qsub", _QSUB), ("qdel", _QDEL), ("status", _STATUS)):
            (folder / name).write_text(text.replace("{jobs}", str(self.jobs)))
            (folder / name).chmod(0o755)

    def path(self) -> str:
        """Return the PATH of a machine on which jobs are submitted."""
        return f"{self.folder}{os.pathsep}{os.environ['PATH']}"

    def submitted(self) -> list[str]:
        """Return the words of each call of qsub, in order."""
        places = sorted(self.jobs.iterdir(), key=lambda place: int(place.name))
        return [(place / "words").read_text() for place in places]
