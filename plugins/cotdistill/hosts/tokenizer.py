"""Counting tokens with a model's own tokenizer."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cotdistill.errors import Fault, FaultsError

SAMPLE = 500


def mean_tokens(texts: Sequence[str], model: Path) -> float | None:
    """Return the mean number of tokens of texts, or None without a tokenizer to count with.

    The first `SAMPLE` texts are counted. `model` is a folder with a `tokenizer.json`.
    """
    path = model / "tokenizer.json"
    if not texts or not path.is_file() or importlib.util.find_spec("tokenizers") is None:
        return None
    from tokenizers import Tokenizer

    chosen = [text.encode("utf-8", "replace").decode() for text in texts[:SAMPLE]]
    reader = Tokenizer.from_file(str(path))
    counted = reader.encode_batch(chosen, add_special_tokens=False)
    return sum(len(one.ids) for one in counted) / len(counted)


def token_counts(tokenizer: str, texts: Sequence[str]) -> list[int]:
    """Return how many tokens each text has, without the special ones around it.

    `tokenizer` is a `tokenizer.json`, a folder that holds one, or a hub id.

    Raises:
        FaultsError: there is no such tokenizer, or the library is not installed.
    """
    return [
        len(encoded.ids)
        for encoded in _loaded(tokenizer).encode_batch_fast(list(texts), add_special_tokens=False)
    ]


@functools.lru_cache(maxsize=1)
def _loaded(tokenizer: str) -> Any:
    remedy = "name a tokenizer.json, a model folder or a hub id"
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        fault = Fault(
            tokenizer, "the tokenizers library is not installed", "", "pip install tokenizers"
        )
        raise FaultsError(fault) from error
    path = Path(tokenizer)
    path = path / "tokenizer.json" if path.is_dir() else path
    try:
        return (
            Tokenizer.from_file(str(path))
            if path.is_file()
            else Tokenizer.from_pretrained(tokenizer)
        )
    except Exception as error:  # the library raises bare Exception for a broken or missing file
        raise FaultsError(Fault(tokenizer, f"no tokenizer ({error})"[:200], "", remedy)) from error
