"""Count a response's tokens with the student's own tokenizer, where that can be read."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

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
