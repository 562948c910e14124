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
from cotdistill.files.atomic import sha256_of, write_text
from cotdistill.files.json_file import NOT_JSON
from cotdistill.files.stale import move_to_stale
from cotdistill.hosts.llamafactory.resume import checkpoints, last_whole_checkpoint
from cotdistill.tables import counted

UNFINISHED = "unfinished_training.json"
"""In an output folder until its training ends: the settings and rows of the checkpoints there."""
_CHANGE_NOTHING = {
    "output_dir", "resume_from_checkpoint", "overwrite_output_dir", "report_to", "disable_tqdm",
}  # fmt: skip


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

    Its host looks for none. Checkpoints of a finished training, or of other settings or rows, are
    moved to `stale/`. From the checkpoint after the last epoch the host would train nothing and
    report a loss of 0, so the last epoch is done again.
    """
    if file.resume_from_checkpoint:
        return file.resume_from_checkpoint
    output, first = Path(file.output_dir), os.environ.get("RANK", "0") == "0"
    found = last_whole_checkpoint(output, int(os.environ.get("WORLD_SIZE", "1")))
    made_with = _made_with(file)
    why = _why_not_resumed(output, made_with)
    if file.overwrite_output_dir:
        why = "are not to be resumed from (overwrite_output_dir)"
    note = f"resuming from {found.name}" if found else ""
    if why:
        found, note = None, ""
    if why and first:
        if [move_to_stale(output, path.name) for path in checkpoints(output)]:
            note = f"starting again: the checkpoints in {output} {why}; moved to {output}/stale"
        write_text(output / UNFINISHED, json.dumps(made_with, indent=1) + "\n")
    if note and first:
        sys.stderr.write(f"note: {note}\n")
    return None if found is None else str(found)


def _made_with(file: Seq2SeqFile) -> dict[str, Any]:
    folder = Path(file.dataset_dir)
    registry = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
    names = filter(None, (file.dataset, file.eval_dataset))
    rows = sha256_of(*(folder / registry[name]["file_name"] for name in names))
    return {**file.model_dump(mode="json", exclude=_CHANGE_NOTHING), "rows": rows}


def _why_not_resumed(output: Path, made_with: Mapping[str, Any]) -> str:
    try:
        kept = json.loads((output / UNFINISHED).read_text(encoding="utf-8"))
    except NOT_JSON:
        return "are of a finished training, or of unknown settings"
    differing = [key for key in made_with if key not in kept or kept[key] != made_with[key]]
    return f"were made with another {', '.join(differing)}" if differing else ""


def _step(path: Path) -> int:
    return int(path.name.rpartition("-")[2])


def _is_the_last(path: Path) -> bool:
    """Whether a training had reached its last step here; the host then only saves the model."""
    try:
        state = json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        return bool(state["global_step"] >= state["max_steps"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
