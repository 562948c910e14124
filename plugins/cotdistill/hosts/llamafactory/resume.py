"""From which checkpoint a killed training may be resumed, and what a finished one needs no more.

A killed trainer leaves its last checkpoint half written, from which the host would try to resume,
so a checkpoint counts only if every file in it is whole. The Trainer writes `trainer_state.json`
last; the other files are checked against their own tables of contents.
"""

from __future__ import annotations

import filecmp
import json
import re
import shutil
import zipfile
from pathlib import Path

from cotdistill.files.json_file import NOT_JSON
from cotdistill.hosts.llamafactory.outputs import weight_files

_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
_ONLY_FOR_RESUMING = re.compile(
    r"optimizer(_\d+)?(\.pt|\.bin)?|scheduler\.pt|scaler\.pt|rng_state(_\d+)?\.pth|global_step\d+|latest"
)


def checkpoints(output: Path) -> list[Path]:
    """Return the checkpoint folders of a training, the oldest first, whole or not."""
    found = [(int(m[1]), p) for p in output.glob("checkpoint-*") if (m := _match(p))]
    return [path for _, path in sorted(found)]


def last_whole_checkpoint(output: Path, ranks: int = 1) -> Path | None:
    """Return the newest checkpoint from which training resumes exactly, or None.

    It must hold the weights and everything that the next step depends on: the optimizer, the
    schedule, and the random state of each of `ranks` processes. It must not be the training's last
    one: from there the host would train nothing and overwrite its results with zeros. And it must
    not be inside a later epoch, from where the host continues with other rows.
    """
    for path in reversed(checkpoints(output)):
        if _resumable(path, ranks):
            return path
    return None


def drop_optimizer_states(output: Path) -> int:
    """Remove from the checkpoints of a finished training what only resuming needs; return bytes.

    These are two thirds of a checkpoint of full training: optimizer, schedule and random states,
    and DeepSpeed's own copies. Weights, logs and tokenizers stay.
    """
    freed = 0
    for checkpoint in checkpoints(output):
        for path in sorted(checkpoint.iterdir()):
            if not _ONLY_FOR_RESUMING.fullmatch(path.name):
                continue
            files = [path, *path.rglob("*")] if path.is_dir() else [path]
            freed += sum(one.stat().st_size for one in files if one.is_file())
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    return freed


def store_last_weights_once(output: Path) -> int:
    """Let the model of a finished training and its last checkpoint share one file; return bytes.

    The trainer writes the same weights at the end of its last step and at the end of the training.
    Hard links keep both names; without such links in the file system, both files stay.
    """
    freed = 0
    for checkpoint in checkpoints(output)[-1:]:
        for path in weight_files(checkpoint):
            final = output / path.name
            if not path.is_file() or not final.is_file() or final.samefile(path):
                continue
            size = path.stat().st_size
            if size == final.stat().st_size and filecmp.cmp(path, final, shallow=False):
                freed += size if _link(final, path) else 0
    return freed


def _link(target: Path, path: Path) -> bool:
    """Put a hard link to a file in another's place; False where the file system has none."""
    linked = path.with_name(path.name + ".link")
    try:
        linked.hardlink_to(target)
    except OSError:
        return False
    linked.replace(path)
    return True


def _match(path: Path) -> re.Match[str] | None:
    return _CHECKPOINT.fullmatch(path.name) if path.is_dir() else None


def _resumable(path: Path, ranks: int) -> bool:
    try:
        state = json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        step = state["global_step"]
        if step >= state["max_steps"] or not _between_epochs(state["epoch"]):
            return False
    except (*NOT_JSON, KeyError, TypeError):
        return False
    names = {entry.name for entry in path.iterdir()}
    random_states = sum(name.startswith("rng_state") for name in names)
    by_deepspeed = f"global_step{step}" in names and "latest" in names
    optimizer = {"optimizer.pt", "optimizer.bin", "optimizer_0"} & names
    if not (by_deepspeed or (optimizer and "scheduler.pt" in names)):
        return False
    if random_states < max(1, ranks) or not (by_deepspeed or any(weight_files(path))):
        return False
    return all(_whole(entry) for entry in path.rglob("*") if entry.is_file())


def _between_epochs(epoch: float) -> bool:
    """Whether the host continues from here with the rows that an uninterrupted training takes.

    Inside the first epoch and at the end of any it does. Inside a later one it does not: the data
    loader that skips the rows already seen starts to count epochs at 0, and so shuffles like the
    first epoch (measured with accelerate 1.11, docs/how-to/run.md).

    >>> [_between_epochs(epoch) for epoch in (0.4, 1.0, 1.6, 3.0)]
    [True, True, False, True]
    """
    return epoch <= 1 or abs(epoch - round(epoch)) < 1e-6


def _whole(path: Path) -> bool:
    """Whether a file that carries its own table of contents is as long as that says."""
    if path.suffix in (".pt", ".pth", ".bin"):
        return path.stat().st_size > 0 and zipfile.is_zipfile(path)
    if path.suffix == ".safetensors":
        return _safetensors_whole(path)
    return True


def _safetensors_whole(path: Path) -> bool:
    size = path.stat().st_size
    try:
        with path.open("rb") as stream:
            header_size = int.from_bytes(stream.read(8), "little")
            if header_size > size:
                return False
            header = json.loads(stream.read(header_size))
        ends = [spec["data_offsets"][1] for name, spec in header.items() if name != "__metadata__"]
    except (*NOT_JSON, KeyError, TypeError, AttributeError, IndexError):
        return False
    return size == 8 + header_size + max(ends, default=0)
