"""Execute the lines of a container recipe in a folder, on a machine without a container engine.

python tools/containers.py containers/train.Containerfile FOLDER [EXTRAS=...]

It does what the recipe does, but for the base image, whose Python must be of the same version as
this one, and `apt-get`, which is left to the machine: the tracked files are copied to FOLDER, which
stands for the WORKDIR, and RUN lines run there. It is a check of the lines, no container.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KNOWN = ("FROM", "ARG", "WORKDIR", "COPY", "RUN", "ENV", "ENTRYPOINT")


def instructions(recipe: Path) -> Iterator[tuple[str, str]]:
    """Yield each instruction with its words."""
    for line in recipe.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            if word not in KNOWN:
                raise SystemExit(f"{recipe}: {word} is not one of {', '.join(KNOWN)}")
            yield word, rest


def execute(recipe: Path, folder: Path, given: Mapping[str, str]) -> int:
    """Execute a recipe in an empty folder; return the status of the first line that fails, or 0."""
    variables = dict(os.environ) | {"HOME": str(folder.parent)}
    workdir = ""
    for word, rest in instructions(recipe):
        if word == "FROM":
            version = re.search(r"python:(\d+\.\d+)", rest)
            here = f"{sys.version_info[0]}.{sys.version_info[1]}"
            if version is None or version[1] != here:
                sys.stderr.write(f"{recipe}: starts from {rest}; this is Python {here}\n")
                return 1
        elif word == "ARG":
            name, _, value = rest.partition("=")
            variables[name] = given.get(name, "".join(shlex.split(value)))
        elif word == "WORKDIR":
            workdir = rest
            folder.mkdir(parents=True, exist_ok=True)
        elif word == "COPY":
            copy_tracked(folder)
        elif word == "ENV":
            name, _, value = rest.partition("=")
            variables[name] = value.replace(workdir, str(folder))
        elif word == "RUN" and "apt-get" not in rest:
            sys.stderr.write(f"RUN {rest}\n")
            done = subprocess.run(["sh", "-c", rest], cwd=folder, env=variables, check=False)
            if done.returncode:
                return done.returncode
    return 0


def copy_tracked(folder: Path) -> None:
    """Copy the files that git tracks, as a build from a fresh checkout does."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.stderr.write(__doc__ or "")
        raise SystemExit(2)
    arguments = dict(word.split("=", 1) for word in sys.argv[3:])
    raise SystemExit(execute(Path(sys.argv[1]), Path(sys.argv[2]).resolve(), arguments))
