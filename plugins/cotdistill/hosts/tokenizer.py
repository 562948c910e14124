"""Counting tokens with a model's own tokenizer."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cotdistill.errors import Fault, FaultsError

SAMPLE = 500
_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "spiece.model",
    "vocab.json",
)


def mean_tokens(texts: Sequence[str], model: Path) -> float | None:
    """Return the mean number of tokens of texts, or None without a tokenizer to count with.

    The first `SAMPLE` texts are counted. `model` is a folder with a `tokenizer.json`.

    Raises:
        FaultsError: the file is not a tokenizer.
    """
    path = model / "tokenizer.json"
    if not texts or not path.is_file() or importlib.util.find_spec("tokenizers") is None:
        return None
    counts = token_counts(str(path), texts[:SAMPLE])
    return sum(counts) / len(counts)


def token_counts(tokenizer: str, texts: Sequence[str]) -> list[int]:
    """Return how many tokens each text has, without the special ones around it.

    `tokenizer` is a `tokenizer.json`, a folder that holds one, or a hub id. Half of a surrogate
    pair is counted as a question mark.

    Raises:
        FaultsError: there is no such tokenizer, or the library is not installed.
    """
    chosen = [text.encode("utf-8", "replace").decode() for text in texts]
    encoded = _loaded(tokenizer).encode_batch_fast(chosen, add_special_tokens=False)
    return [len(one.ids) for one in encoded]


def chat_text(tokenizer: str) -> Callable[[Sequence[Mapping[str, Any]], Mapping[str, Any]], str]:
    """Return what fills in a tokenizer's chat template, up to where the model's turn begins.

    `tokenizer` is a folder or a hub id. A first token that servers put before every prompt is left
    out, or there would be two.

    Raises:
        FaultsError: there is no such tokenizer, it has no chat template, or that refuses messages.
    """
    loaded = load_tokenizer(tokenizer)
    if not loaded.chat_template:
        fault = Fault(tokenizer, "has no chat template", "", "use --prefix-mode completion")
        raise FaultsError(fault)
    first = loaded.bos_token or ""
    is_added = bool(first) and loaded("x")["input_ids"][:1] == [loaded.bos_token_id]

    def filled(messages: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> str:
        try:
            text = str(
                loaded.apply_chat_template(
                    [dict(turn) for turn in messages],
                    tokenize=False,
                    add_generation_prompt=True,
                    **settings,
                )
            )
        except Exception as error:  # a template raises what its author chose
            words = " ".join(str(error).split())[:200]
            raise FaultsError(Fault(tokenizer, f"its template refuses this ({words})")) from error
        return text.removeprefix(first) if is_added else text

    return filled


def load_tokenizer(name: str | Path, revision: str | None = None, **settings: Any) -> Any:
    """Return a tokenizer of transformers; `settings` are those of its `from_pretrained`.

    `name` is a folder or a hub id.

    Raises:
        FaultsError: there is none, one of its files is damaged, or the library is not installed.
    """
    name = str(name)
    if revision:
        settings["revision"] = revision
    try:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(name, **settings)
    except ImportError as error:
        fault = Fault(name, "transformers is not installed", "", "pip install 'cotdistill[eval]'")
        raise FaultsError(fault) from error
    except Exception as error:  # the host raises its own kinds for files and settings
        words = " ".join(str(error).split())[:200]
        remedy = "name a folder with a tokenizer, or a hub id"
        raise FaultsError(Fault(name, f"no tokenizer ({words})", "", remedy)) from error


def tokenizer_if_here(name: str) -> Any | None:
    """Return a tokenizer of transformers; None where it is not made yet or cannot be fetched.

    None as well where transformers is not installed.

    Raises:
        FaultsError: it is here, and one of its files is damaged.
    """
    if importlib.util.find_spec("transformers") is None:
        return None
    try:
        return load_tokenizer(name)
    except FaultsError:
        if any((Path(name) / file).is_file() for file in _FILES):
            raise
        return None


def _loaded(tokenizer: str) -> Any:
    path = Path(tokenizer)
    path = path / "tokenizer.json" if path.is_dir() else path
    remedy = "name a tokenizer.json, a model folder or a hub id"
    try:
        return _of_text(path.read_text(encoding="utf-8")) if path.is_file() else _of_hub(tokenizer)
    except ImportError as error:
        wrong = "the tokenizers library is not installed"
        raise FaultsError(Fault(tokenizer, wrong, "", "pip install tokenizers")) from error
    except Exception as error:  # the library raises bare Exception for a broken or missing file
        raise FaultsError(Fault(tokenizer, f"no tokenizer ({error})"[:200], "", remedy)) from error


@functools.lru_cache(maxsize=1)
def _of_text(text: str) -> Any:
    """Load a tokenizer by what its file holds: all runs of a student have a copy of the same."""
    from tokenizers import Tokenizer

    return Tokenizer.from_str(text)


@functools.lru_cache(maxsize=1)
def _of_hub(name: str) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_pretrained(name)
