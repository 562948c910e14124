"""Make `.venv` with all that the demo, the tests and the checks need; do nothing if it is there.

Only the standard library: this runs before anything is installed. What was installed is noted in
the environment itself, so a second call costs a tenth of a second, and a changed pyproject.toml or
constraints.txt brings the environment up to date.

    python3 tools/environment.py [EXTRA ...]        # default: train eval run dev

The extra `deepspeed` is put into a folder of its own, `.venv/deepspeed`, which a test names on
PYTHONPATH: with DeepSpeed installed, every start of transformers takes seconds longer.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOG = VENV / "setup.log"
NOTE = VENV / "setup.note"
DEEPSPEED = VENV / "deepspeed"
STAND_INS = VENV / "stand-ins"
DEFAULT_EXTRAS = ("train", "eval", "run", "dev")
GIB_NEEDED = 4


def say(text: str) -> None:
    """Print one line of talk at once."""
    sys.stderr.write(f"setup: {text}\n")
    sys.stderr.flush()


def stop(text: str) -> None:
    """Print why it cannot go on and leave with status 1."""
    say(text)
    raise SystemExit(1)


def wanted() -> str:
    """Return a digest of everything that decides which versions are installed."""
    digest = hashlib.sha256(f"{sys.version_info[:2]} {ROOT}".encode())
    for name in ("pyproject.toml", "constraints.txt", "tools/environment.py"):
        digest.update((ROOT / name).read_bytes())
    digest.update((ROOT / "plugins/cotdistill/hosts/environments/cpu_torch.py").read_bytes())
    return digest.hexdigest()


def run(what: str, *command: str | Path) -> None:
    """Run one step with its output in the log; on failure show the log's end and stop."""
    started = time.monotonic()
    say(what + " ...")
    environment = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    with LOG.open("a", encoding="utf-8") as log:
        log.write(f"\n$ {' '.join(map(str, command))}\n")
        log.flush()
        status = subprocess.call(
            [str(part) for part in command],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env=environment,
        )
    if status:
        lines = LOG.read_text(encoding="utf-8", errors="replace").splitlines()
        errors = [line for line in lines if line.lstrip().lower().startswith("error")]
        for line in (errors or lines)[-12:]:
            sys.stderr.write(f"    {line}\n")
        stop(f"{what} failed (exit {status}); the whole output is in {LOG}")
    say(f"{what} done in {time.monotonic() - started:.0f} s")


def make_venv() -> None:
    """Make the virtual environment itself."""
    free = shutil.disk_usage(ROOT).free / 2**30
    if free < GIB_NEEDED and not PYTHON.exists():
        stop(f"{free:.1f} GiB free in {ROOT}; the hosts need about {GIB_NEEDED} GiB")
    if PYTHON.exists():
        return
    say(f"making {VENV.relative_to(ROOT)} with Python {sys.version.split()[0]}")
    made = subprocess.run(
        [sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        sys.stderr.write(made.stdout + made.stderr)
        stop("python3 cannot make virtual environments; on Debian: apt-get install python3-venv")


def main(extras: tuple[str, ...]) -> None:
    """Bring the environment up to date with the project's files."""
    if sys.version_info < (3, 11):  # noqa: UP036 -- an older Python is just what is looked for
        stop(f"Python {sys.version.split()[0]} is too old; cotdistill needs 3.11 or newer")
    want = wanted()
    noted = NOTE.read_text().split() if NOTE.is_file() and PYTHON.exists() else [""]
    if noted[0] == want and set(extras) <= set(noted[1:]):
        return
    make_venv()
    NOTE.unlink(missing_ok=True)
    LOG.unlink(missing_ok=True)
    together = [extra for extra in extras if extra != "deepspeed"]
    pip = [PYTHON, "-m", "pip", "install", "--quiet", "-c", "constraints.txt"]
    if {"train", "eval"} & set(extras):
        run("installing torch (the largest part)", *pip, "torch", "numpy")
        script = ROOT / "plugins" / "cotdistill" / "hosts" / "environments" / "cpu_torch.py"
        run("looking whether torch has no CUDA", PYTHON, script, STAND_INS)
    if STAND_INS.is_dir():
        pip += ["--find-links", STAND_INS]
    named = ",".join(together)
    run(f"installing cotdistill[{named}]", *pip, "-e", f".[{named}]")
    run("looking for broken requirements", PYTHON, "-m", "pip", "check")
    if "deepspeed" in extras:
        os.environ["DS_BUILD_OPS"] = "0"  # its operators are compiled when they are first used
        run("installing what builds DeepSpeed", *pip, "setuptools", "wheel", "ninja")
        parts = ("deepspeed", "einops", "hjson", "msgpack", "psutil", "py-cpuinfo")
        apart = ("--no-build-isolation", "--no-deps", "--upgrade", "--target", DEEPSPEED)
        run("installing DeepSpeed apart", *pip, *apart, *parts)
    NOTE.write_text(" ".join([want, *extras]))


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or DEFAULT_EXTRAS)
