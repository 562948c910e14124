"""T5 models of a few thousand weights, with the tokenizer of the other tiny models."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any


def t5(seed: int = 0, width: int = 16, *, tied: bool = True) -> Any:
    """Return a model without dropout."""
    import torch
    import transformers

    torch.manual_seed(seed)
    config = transformers.T5Config(
        vocab_size=304, d_model=width, d_kv=8, d_ff=24, num_layers=1, num_heads=2, pad_token_id=0,
        eos_token_id=2, decoder_start_token_id=0, tie_word_embeddings=tied, dropout_rate=0.0,
    )  # fmt: skip
    return transformers.T5ForConditionalGeneration(config)


def build_t5(folder: Path, made: Path, seed: int = 0, width: int = 16) -> Path:
    """Write a model folder with the tokenizer of another one."""
    t5(seed, width).save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        if (made / file).is_file():
            shutil.copy(made / file, folder / file)
    return folder
