"""Checkpoints of the host's trainer, without a model in them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path


def checkpoint(output: Path, step: int, epoch: float = 1.0, steps: int = 100) -> Path:
    """Write a whole checkpoint as the host's trainer does, and return its folder."""
    folder = output / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    header = json.dumps({"w": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}).encode()
    tensor = len(header).to_bytes(8, "little") + header + b"abcd"
    (folder / "model.safetensors").write_bytes(tensor)
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        with zipfile.ZipFile(folder / name, "w") as archive:
            archive.writestr("data", "x" * 100)
    state = {"global_step": step, "max_steps": steps, "epoch": epoch}
    (folder / "trainer_state.json").write_text(json.dumps(state))
    return folder
