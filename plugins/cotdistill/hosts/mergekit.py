"""mergekit, in an environment of its own: it needs transformers 5, and both hosts need 4.

Only the weights that it writes are used. The configuration and the tokenizer that it writes are of
transformers 5: release 4 would silently read a rope_theta of 1,000,000 there as 10,000.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cotdistill.errors import Fault, FaultsError
from cotdistill.files.yamls import dump_yaml

_SHOWN = 400


def mergekit_program(environment: str, place: str) -> Path:
    """Return `mergekit-yaml` of an environment, named by its folder or its Python.

    Raises:
        FaultsError: there is no such program.
    """
    path = Path(environment).expanduser().absolute()
    folders = (path, path / "bin", path.parent)
    for folder in folders:
        if (folder / "mergekit-yaml").is_file():
            return folder / "mergekit-yaml"
    wrong = f"no mergekit-yaml in {path}"
    remedy = f"python -m venv {path}; {path}/bin/pip install mergekit==0.1.5"
    raise FaultsError(Fault(place, wrong, "an environment with mergekit", remedy))


def mergekit_weights(
    program: Path, configuration: Mapping[str, Any], folder: Path, *, seed: int, shard_bytes: int
) -> None:
    """Let mergekit write a merged model's weights into a new folder, next to files of its own.

    Raises:
        FaultsError: it cannot be started, or fails; its last words are quoted.
    """
    file = folder.with_suffix(".yaml")
    file.write_text(dump_yaml(dict(configuration)), encoding="utf-8")
    command = [
        str(program), str(file), str(folder), "--quiet", "--no-write-model-card",
        "--no-copy-tokenizer", "--random-seed", str(seed),
        "--out-shard-size", str(max(1, shard_bytes // 2)),
    ]  # fmt: skip
    outside = ("PYTHONPATH", "PYTHONHOME")
    env = {name: value for name, value in os.environ.items() if name not in outside}
    try:
        done = subprocess.run(
            command, env=env | {"HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise FaultsError(Fault(str(program), f"cannot be started ({error.strerror})")) from error
    if done.returncode != 0:
        message = " ".join(done.stderr.split())[-_SHOWN:]
        raise FaultsError(Fault(str(program), f"exit status {done.returncode} ({message})"))
