"""What LLaMA-Factory would train on: counts of rows and tokens, asked where it is installed.

`ask_rows` asks about many training files at once, because importing the host takes longer than
reading most arms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotdistill.hosts.environments.ask_python import ask_python
from cotdistill.hosts.llamafactory import rows as training_rows
from cotdistill.hosts.llamafactory.arguments import argument_group

_SCRIPT = Path(training_rows.__file__)
_NOT_DATA = ("streaming", "tokenized_path")
_OTHERS = (
    "stage", "do_train", "output_dir", "seed", "data_seed", "model_name_or_path", "model_revision",
    "cache_dir", "trust_remote_code", "hf_hub_token", "ms_hub_token", "om_hub_token",
    "use_fast_tokenizer", "resize_vocab", "split_special_tokens", "add_tokens",
    "add_special_tokens", "new_special_tokens_config", "init_special_tokens",
)  # fmt: skip
"""Keys of a training file besides those on data that decide how its rows are tokenised."""


@dataclass(frozen=True)
class RowCounts:
    """The rows of one training file as the host tokenises them.

    Units: tokens and rows. A truncated row has lost part of its prompt, the end of its response, or
    both. `validation_rows` are those that `val_size` keeps back; the others do
    not count them. `lengths` is (tokens without a limit, rows of this length), the shortest first.
    """

    rows: int
    truncated: int
    prompts_cut: int
    answers_cut: int
    no_loss: int
    tokens: int
    trained_tokens: int
    validation_rows: int
    longest: int
    lengths: tuple[tuple[int, int], ...]
    shown: tuple[tuple[tuple[bool, str], ...], ...]

    def allows(self, share: float) -> bool:
        """Return whether at most this share of the rows is truncated."""
        return self.truncated <= share * self.rows

    def fitting(self, share: float) -> int:
        """Return the smallest cutoff_len at which at most this share of the rows is truncated."""
        allowed = math.floor(share * self.rows)
        longer = 0
        for length, rows in reversed(self.lengths):
            longer += rows
            if longer > allowed:
                return length
        return 0


def ask_rows(
    python: Sequence[str], files: Sequence[Mapping[str, Any]], show: int = 0
) -> list[RowCounts | str]:
    """Return what the host makes of the rows of each training file, or why it cannot read them.

    `python` starts the Python of the training environment, `files` are the files' mappings, `show`
    is the number of rows to return with their loss mask. Only what concerns rows is asked about:
    precision, kernels and optimizers may need a GPU that this machine lacks.

    Raises:
        FaultsError: LLaMA-Factory cannot be run there.
    """
    answers = ask_python(
        python,
        _SCRIPT,
        [{"arguments": about_rows(arguments), "show": show} for arguments in files],
        env={"LLAMAFACTORY_VERBOSITY": "ERROR", "CUDA_VISIBLE_DEVICES": ""},
        failure="LLaMA-Factory could not read the training rows ({})",
    )
    return [answer["error"] if "error" in answer else _counts(answer) for answer in answers]


def about_rows(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a training file's mapping decides how its rows are tokenised.

    >>> about_rows({"cutoff_len": 64, "pure_bf16": True, "use_unsloth": True, "deepspeed": "z3"})
    {'cutoff_len': 64}
    """
    kept = {*argument_group("data"), *_OTHERS} - set(_NOT_DATA)
    return {key: value for key, value in arguments.items() if key in kept}


def _counts(answer: Mapping[str, Any]) -> RowCounts:
    return RowCounts(
        rows=answer["rows"],
        truncated=answer["truncated"],
        prompts_cut=answer["prompts_cut"],
        answers_cut=answer["answers_cut"],
        no_loss=answer["no_loss"],
        tokens=answer["tokens"],
        trained_tokens=answer["trained_tokens"],
        validation_rows=answer["validation_rows"],
        longest=answer["longest"],
        lengths=tuple((length, rows) for length, rows in answer["lengths"]),
        shown=tuple(tuple((t, text) for t, text in row) for row in answer["shown"]),
    )
