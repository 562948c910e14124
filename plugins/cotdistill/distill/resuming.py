"""From where a training that was interrupted goes on when the same command is given again.

The host resumes from the newest checkpoint of the output folder, also from one that a kill cut in
half, and from inside a later epoch, where it goes on with other rows than an uninterrupted
training. Here it resumes only from where the end is the same.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cotdistill.distill.seq2seq_file import Seq2SeqFile
from cotdistill.hosts.llamafactory.resume import checkpoints, last_whole_checkpoint
from cotdistill.tables import counted


def resumed(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return a training's arguments with what to resume from, and a note where that is not obvious.

    Files that say so themselves, by `resume_from_checkpoint` or `overwrite_output_dir`, are left
    as they are.
    """
    given = dict(arguments)
    asked = given.get("resume_from_checkpoint") or given.get("overwrite_output_dir")
    output = Path(str(given.get("output_dir")))
    found = [] if asked or not output.is_dir() else checkpoints(output)
    if not found or _is_the_last(found[-1]):
        return given, ""
    whole = last_whole_checkpoint(output, int(os.environ.get("WORLD_SIZE", "1")))
    if whole == found[-1]:
        return given, ""
    passed = [path for path in found if whole is None or _step(path) > _step(whole)]
    why = f"{counted(len(passed), 'later checkpoint')} cannot be resumed from exactly"
    if whole is None:
        return given | {"overwrite_output_dir": True}, f"starting again: {why}"
    return given | {"resume_from_checkpoint": str(whole)}, f"resuming from {whole.name}: {why}"


def resuming_from(file: Seq2SeqFile) -> str | None:
    """Return the checkpoint from which an encoder-decoder's training goes on, None from the start.

    Its host looks for none. From the checkpoint after the last epoch it would train nothing and
    report a loss of 0, so that the last epoch is done again.
    """
    if file.resume_from_checkpoint or file.overwrite_output_dir:
        return file.resume_from_checkpoint
    found = last_whole_checkpoint(Path(file.output_dir), int(os.environ.get("WORLD_SIZE", "1")))
    if found is not None and os.environ.get("RANK", "0") == "0":
        sys.stderr.write(f"note: resuming from {found.name}\n")
    return None if found is None else str(found)


def _step(path: Path) -> int:
    return int(path.name.rpartition("-")[2])


def _is_the_last(path: Path) -> bool:
    """Whether a training had reached its last step here; the host then only saves the model."""
    try:
        state = json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        return bool(state["global_step"] >= state["max_steps"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
