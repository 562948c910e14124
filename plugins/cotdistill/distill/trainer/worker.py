"""One training process: the host's `run_exp` with our trainer in the place of its own.

torchrun starts this module once for each process.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cotdistill.distill.resuming import resumed
from cotdistill.distill.seq2seq_file import read_seq2seq_file
from cotdistill.distill.train_file import TrainFile, read_train_file, seq2seq_arguments
from cotdistill.errors import Fault, FaultsError, UserError
from cotdistill.hosts.replaced import replaced


def checked(file: TrainFile) -> None:
    """Check what needs the models' folders, but no weights.

    Raises:
        FaultsError: student or teacher cannot be trained with, or have different vocabularies.
    """
    from cotdistill.distill.model_check import model_faults

    faults = model_faults(file)
    if faults:
        raise FaultsError(faults)


def train_here(file: TrainFile) -> int:
    """Train in this process.

    Raises:
        FaultsError: the distillation had no effect, or the host has another trainer.
    """
    from llamafactory.hparams import get_train_args
    from llamafactory.train import tuner
    from llamafactory.train.sft import workflow

    from cotdistill.distill.trainer.host_trainer import DistillingTrainer, Plan
    from cotdistill.distill.trainer.row_choice import chosen_keys
    from cotdistill.distill.trainer.teacher import load_teacher

    arguments, note = resumed(file.arguments)
    if note and os.environ.get("RANK", "0") == "0":
        sys.stderr.write(f"note: {note}\n")
    model_arguments = get_train_args(dict(arguments))[0]
    settings = file.distillation
    plan = Plan(
        settings,
        functools.partial(load_teacher, settings.source, model_arguments),
        f"{file.path}:kd",
        None if settings.source.signals is None else _signals(file),
        None
        if settings.rows is None
        else chosen_keys(arguments, settings.rows, f"{file.path}:kd.rows"),
    )
    made = 0

    def ours(**host: Any) -> DistillingTrainer:
        # Only counted: a trainer that outlives the host's process group can hang in PyTorch, whose
        # reducer waits for a thread of the group while that waits for the interpreter's lock.
        nonlocal made
        made += 1
        return DistillingTrainer(plan=plan, **host)

    with contextlib.ExitStack() as stack:
        stack.enter_context(replaced(workflow, "CustomSeq2SeqTrainer", ours))
        for name in ("load_tokenizer", "get_dataset", "load_model"):
            step = _one_message(getattr(workflow, name), str(file.path))
            stack.enter_context(replaced(workflow, name, step))
        tuner.run_exp(arguments)
    if not made:
        wrong = "LLaMA-Factory trained with another trainer than the one given to it"
        raise FaultsError(Fault(str(file.path), wrong))
    return 0


def _one_message(step: Callable[..., Any], place: str) -> Callable[..., Any]:
    """Let what the host raises about rows or weights that it reads end in one message."""

    @functools.wraps(step)
    def wrapped(*words: Any, **named: Any) -> Any:
        try:
            return step(*words, **named)
        except UserError:
            raise
        except Exception as error:  # damaged files end anywhere in the host
            cause = f"{type(error).__name__}: {' '.join(str(error).split())}"
            wrong = f"LLaMA-Factory cannot use its rows or models ({cause})"
            raise FaultsError(Fault(place, wrong)) from error

    return wrapped


def _signals(file: TrainFile) -> Any:
    from cotdistill.distill.signals.manifest import read_manifest
    from cotdistill.distill.signals.stored_rows import StoredRows
    from cotdistill.distill.signals_check import row_differences
    from cotdistill.distill.trainer.host_trainer import Signals

    folder = Path(str(file.distillation.source.signals))
    manifest = read_manifest(folder, f"{file.path}:kd.teacher")
    stored = StoredRows((folder / part.name for part in manifest.parts), manifest.job.temperatures)
    differing = row_differences(manifest.job, file.arguments)
    k = min(manifest.job.top_k, manifest.vocabulary)
    return Signals(stored, manifest.vocabulary, k, differing)


def main(words: Sequence[str]) -> int:
    """Train as one of several processes; the first one says what is wrong."""
    try:
        if (arguments := seq2seq_arguments(words)) is not None:
            from cotdistill.distill.trainer.seq2seq import train_seq2seq

            return train_seq2seq(read_seq2seq_file(arguments, words[0]), words[0])
        file = read_train_file(words)
        if file is None:
            raise FaultsError(Fault(words[0], "no kd: block any more"))
        return train_here(file)
    except UserError as error:
        if os.environ.get("RANK", "0") == "0":
            sys.stderr.write(f"{error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
