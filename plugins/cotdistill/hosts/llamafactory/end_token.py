"""Make an exported model stop where it was taught to stop.

LLaMA-Factory's export of a LoRA on a base model writes the chat template's end token into the
tokenizer but keeps the base model's `eos_token_id` in generation_config.json, so that a student
talks on after its answer (full training rewrites that file; export does not). This puts the
tokenizer's end token first, as full training does, and keeps the others behind it. Only JSON files
are read: no host is imported.
"""

from __future__ import annotations

import json
from pathlib import Path

from cotdistill.errors import Fault, FaultsError
from cotdistill.files.atomic import write_if_changed
from cotdistill.files.json_file import read_object


def end_at_the_trained_token(model: Path) -> bool:
    """Put the tokenizer's end token first in `generation_config.json`; return whether it changed.

    Raises:
        FaultsError: the folder holds no tokenizer that says what ends an answer.
    """
    end = _end_token(model)
    number = _number_of(model, end)
    path = model / "generation_config.json"
    config = read_object(path) if path.is_file() else {}
    known = config.get("eos_token_id")
    before = known if isinstance(known, list) else [] if known is None else [known]
    if before[:1] == [number]:
        return False
    after = [number, *(other for other in before if other != number)]
    config["eos_token_id"] = after if len(after) > 1 else number
    return write_if_changed(path, json.dumps(config, indent=2, ensure_ascii=False) + "\n")


def _end_token(model: Path) -> str:
    path = model / "tokenizer_config.json"
    end = read_object(path).get("eos_token")
    if isinstance(end, dict):
        end = end.get("content")
    if not isinstance(end, str):
        raise FaultsError(Fault(f"{path}:eos_token", f"{end!r}", "the token that ends an answer"))
    return end


def _number_of(model: Path, token: str) -> int:
    for number, added in (
        read_object(model / "tokenizer_config.json").get("added_tokens_decoder", {}).items()
    ):
        if added.get("content") == token:
            return int(number)
    path = model / "tokenizer.json"
    tokenizer = read_object(path) if path.is_file() else {}
    for added in tokenizer.get("added_tokens", []):
        if added.get("content") == token:
            return int(added["id"])
    vocabulary = tokenizer.get("model", {}).get("vocab", {})
    if isinstance(vocabulary, dict) and token in vocabulary:
        return int(vocabulary[token])
    if isinstance(vocabulary, list):  # unigram models: [token, score] by id
        for number, entry in enumerate(vocabulary):
            if entry[0] == token:
                return number
    raise FaultsError(
        Fault(str(path), f"the end token {token!r} has no number", "a token of the vocabulary")
    )
