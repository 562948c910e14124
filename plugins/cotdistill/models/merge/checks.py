"""Whether models can be merged: same shape, same positions, same meaning of every token id.

A merge of models that do not belong together runs without an error and gives a broken model. So
configurations and tokenizers are compared, and not only the shapes of tensors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotdistill.errors import DataError, Fault
from cotdistill.files.json_file import read_object
from cotdistill.models.merge.weights import FLOATS, Tensor, Weights

HEADS = (
    "embed_tokens.weight",
    "lm_head.weight",
    "wte.weight",
    "embed_in.weight",
    "embed_out.weight",
)
"""The ends of the names of tensors with a row for each token."""

_MEANS_NOTHING = {
    "_name_or_path", "architectures", "transformers_version", "torch_dtype", "dtype", "use_cache",
    "bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id", "max_position_embeddings",
    "vocab_size", "initializer_range", "attention_dropout", "auto_map", "_attn_implementation",
    "use_mrope", "pretraining_tp", "rope_scaling", "rope_parameters", "rope_theta",
}  # fmt: skip
"""Keys that may differ, or are compared by what they mean."""

_WINDOW = ("sliding_window", "max_window_layers")
_DEFAULTS: dict[str, Any] = {
    "rms_norm_eps": 1e-6, "hidden_act": "silu", "attention_bias": False, "mlp_bias": False,
    "tie_word_embeddings": False, "use_sliding_window": False,
}  # fmt: skip
_TIED_WHEN_UNSAID = ("gemma", "gemma2", "gemma3", "gemma3_text", "gpt2", "opt", "bloom")
_SHOWN = 3
_FILES = ("tokenizer.json", "vocab.json", "tokenizer.model", "spiece.model")


@dataclass(frozen=True)
class Candidate:
    """A model that takes part: as it was named, its folder, its weights and its configuration."""

    name: str
    weights: Weights
    config: Mapping[str, Any]

    @property
    def is_tied(self) -> bool:
        """Whether its head is its embedding."""
        unsaid = self.config.get("model_type") in _TIED_WHEN_UNSAID
        return bool(self.config.get("tie_word_embeddings", unsaid))


@dataclass(frozen=True)
class Comparison:
    """What a comparison found: faults, notes, and the ids whose rows are the donor's."""

    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    donor_rows: frozenset[int] = frozenset()


def compare(
    donor: Candidate, others: list[Candidate], place: str, *, keep_tokens: bool
) -> Comparison:
    """Return why models cannot be merged, all faults at once.

    `keep_tokens` allows special tokens with other meanings, whose rows are then the donor's.
    """
    found = Comparison()
    found.faults.extend(_donor_faults(donor, place))
    rows: set[int] = set()
    vocabulary = _Vocabulary.of(donor.weights.folder)
    for other in others:
        found.faults.extend(_config_faults(donor, other, place))
        found.faults.extend(_tensor_faults(donor, other, place))
        found.notes.extend(_notes(donor, other))
        theirs = _Vocabulary.of(other.weights.folder)
        if vocabulary is None or theirs is None:
            found.notes.append(f"{other.name} has no tokenizer here to compare with the donor's")
            continue
        ordinary, special = vocabulary.differences(theirs)
        if ordinary:
            found.faults.append(_meaning_fault(donor, other, place, ordinary, vocabulary, theirs))
        elif special and not keep_tokens:
            fault = _meaning_fault(donor, other, place, special, vocabulary, theirs)
            remedy = "tokens: donor keeps the donor's embeddings of these special tokens"
            found.faults.append(Fault(fault.place, fault.wrong, fault.expected, remedy))
        rows.update(special)
    return Comparison(found.faults, found.notes, frozenset(rows))


def read_config(folder: Path) -> dict[str, Any]:
    """Return a model's configuration.

    Raises:
        DataError: there is none, or it is broken.
    """
    return read_object(folder / "config.json", "a model's config.json", "copy the model again")


def _donor_faults(donor: Candidate, place: str) -> Iterator[Fault]:
    where = f"{place}: {donor.name}"
    nested = donor.config.get("rope_parameters")
    if isinstance(nested, dict) and "rope_theta" not in donor.config:
        wrong = "its config.json was written by transformers 5: LLaMA-Factory and lm-eval would "
        wrong += f"read a rope_theta of {nested.get('rope_theta', 10000.0):,.0f} as 10,000"
        yield Fault(where, wrong, "a donor with rope_theta", "take the published config.json")
    if "quantization_config" in donor.config:
        yield Fault(where, "it is quantized", "weights in F32, F16 or BF16")
    if not any((donor.weights.folder / name).is_file() for name in _FILES):
        yield Fault(where, "the donor has no tokenizer", " or ".join(_FILES))
    head = any(name.endswith("lm_head.weight") for name in donor.weights.tensors)
    if not donor.is_tied and not head and donor.config.get("model_type") in ("llama", "qwen2"):
        yield Fault(where, "it has no lm_head.weight, and its config.json ties no embeddings")


def _config_faults(donor: Candidate, other: Candidate, place: str) -> Iterator[Fault]:
    ours, theirs = donor.config, other.config
    keys = [key for key in ours if key in theirs and key not in _MEANS_NOTHING]
    keys += [key for key in _DEFAULTS if (key in ours) != (key in theirs) and key not in keys]
    for key in keys:
        if key in _WINDOW and not ours.get("use_sliding_window", True):
            continue
        one, two = (config.get(key, _DEFAULTS.get(key)) for config in (ours, theirs))
        if key == "tie_word_embeddings":
            one, two = donor.is_tied, other.is_tied
        if one != two:
            yield _differs(donor, other, place, key, one, two)
    for key in ("rope_theta", "rope_scaling", "head_dim", "num_key_value_heads"):
        one, two = _meaning(ours, key), _meaning(theirs, key)
        if one != two and not (key in keys and ours.get(key) != theirs.get(key)):
            yield _differs(donor, other, place, key, one, two)


def _meaning(config: Mapping[str, Any], key: str) -> Any:
    """Return what a key of either version of transformers means, stated or not."""
    nested = config.get("rope_parameters")
    nested = nested if isinstance(nested, dict) else {}
    match key:
        case "rope_theta":
            return float(config.get("rope_theta") or nested.get("rope_theta") or 10000.0)
        case "rope_scaling":
            scaling = config.get("rope_scaling") or nested
            scaling = scaling if isinstance(scaling, dict) else {"rope_type": scaling}
            named = {("rope_type" if name == "type" else name): v for name, v in scaling.items()}
            named.pop("rope_theta", None)
            return {} if named.get("rope_type") == "default" else named
        case "head_dim":
            width, heads = config.get("hidden_size"), config.get("num_attention_heads")
            if isinstance(width, int) and isinstance(heads, int) and heads > 0:
                width //= heads
            return config.get("head_dim") or width
    return config.get(key) or config.get("num_attention_heads")


def _differs(donor: Candidate, other: Candidate, place: str, key: str, one: Any, two: Any) -> Fault:
    shown = [json.dumps(value, default=str)[:80] for value in (two, one)]
    wrong = f"{key} is {shown[0]}, and {shown[1]} in {donor.name}"
    remedy = "models are merged that were trained from one base"
    return Fault(f"{place}: {other.name}", wrong, "", remedy)


def _tensor_faults(donor: Candidate, other: Candidate, place: str) -> Iterator[Fault]:
    where = f"{place}: {other.name}"
    ours, theirs = merged_tensors(donor), other.weights.tensors
    missing = [name for name in ours if name not in theirs]
    extra = [name for name in merged_tensors(other) if name not in ours]
    for names, what in ((missing, f"{donor.name} has and it has not"), (extra, "it has and not ")):
        if names:
            what = what if names is missing else f"it has and {donor.name} has not"
            yield Fault(where, f"{len(names)} tensors that {what} ({', '.join(names[:_SHOWN])})")
    shapes = [n for n, t in ours.items() if n in theirs and theirs[n].shape != t.shape]
    heads = [name for name in shapes if name.endswith(HEADS)]
    for name in heads or shapes[:_SHOWN]:
        wrong = f"{name} has the shape {list(theirs[name].shape)}, and {list(ours[name].shape)} in "
        remedy = ""
        if name in heads and theirs[name].shape[1:] == ours[name].shape[1:]:
            remedy = "give all models as many rows as tokens: transformers' resize_token_embeddings"
        yield Fault(where, f"{wrong}{donor.name}", "equal shapes", remedy)
    for candidate in (donor, other):
        odd = [
            n for n, t in candidate.weights.tensors.items() if t.dtype not in FLOATS and n in ours
        ]
        if odd:
            kinds = sorted({candidate.weights.tensors[name].dtype for name in odd})
            wrong = f"{len(odd)} tensors of type {', '.join(kinds)} ({', '.join(odd[:_SHOWN])})"
            yield Fault(f"{place}: {candidate.name}", wrong, f"weights in {', '.join(FLOATS)}")


def merged_tensors(candidate: Candidate) -> dict[str, Tensor]:
    """Return the tensors that a merge writes: no head where it is the embedding."""
    return {
        name: tensor
        for name, tensor in candidate.weights.tensors.items()
        if not (candidate.is_tied and name.endswith("lm_head.weight"))
    }


def _notes(donor: Candidate, other: Candidate) -> Iterator[str]:
    for key, what in (("max_position_embeddings", "context"), ("eos_token_id", "end token")):
        one, two = donor.config.get(key), other.config.get(key)
        if one != two and None not in (one, two):
            yield f"{other.name} has the {what} {two}; the merge has the donor's, {one}"
    if (other.weights.folder / "merge.json").is_file():
        yield f"{other.name} is a merge itself: what DARE dropped there is dropped again"


@dataclass(frozen=True)
class _Vocabulary:
    """What each id means, and which ids are special or added tokens; or one hash of it all."""

    tokens: Mapping[int, str]
    special: frozenset[int]

    @classmethod
    def of(cls, folder: Path) -> _Vocabulary | None:
        path = next((folder / name for name in _FILES if (folder / name).is_file()), None)
        if path is None:
            return None
        if path.suffix != ".json":
            return cls({0: hashlib.sha256(path.read_bytes()).hexdigest()}, frozenset())
        read = read_object(path, "a tokenizer")
        model = read.get("model") if path.name == "tokenizer.json" else {"vocab": read}
        vocabulary = model.get("vocab") if isinstance(model, dict) else None
        if isinstance(vocabulary, list):  # Unigram: pairs of a token and its score
            vocabulary = {str(entry[0]): i for i, entry in enumerate(vocabulary) if entry}
        if not isinstance(vocabulary, dict):
            raise DataError(Fault(str(path), "no vocabulary in it", "a tokenizer"))
        tokens = {number: text for text, number in vocabulary.items() if isinstance(number, int)}
        added = read.get("added_tokens") if path.name == "tokenizer.json" else None
        special = set()
        for entry in added if isinstance(added, list) else ():
            if isinstance(entry, dict) and isinstance(entry.get("id"), int):
                tokens[entry["id"]] = str(entry.get("content"))
                special.add(entry["id"])
        return cls(tokens, frozenset(special))

    def differences(self, other: _Vocabulary) -> tuple[list[int], list[int]]:
        """Return the ids that both have with other meanings: ordinary ones, and special ones."""
        differing = sorted(
            number
            for number, text in self.tokens.items()
            if number in other.tokens and other.tokens[number] != text
        )
        special = self.special | other.special
        return (
            [number for number in differing if number not in special],
            [number for number in differing if number in special],
        )


def _meaning_fault(
    donor: Candidate, other: Candidate, place: str, ids: list[int],
    ours: _Vocabulary, theirs: _Vocabulary,
) -> Fault:  # fmt: skip
    shown = ", ".join(
        f"{i}: {theirs.tokens[i][:30]!r}, not {ours.tokens[i][:30]!r}" for i in ids[:_SHOWN]
    )
    wrong = f"{len(ids)} token ids mean something else than in {donor.name} ({shown})"
    return Fault(f"{place}: {other.name}", wrong, "one vocabulary")
