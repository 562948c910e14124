"""Build a randomly initialised student, so that a study needs no model hub.

The folder is what both hosts expect of a local model: weights, config, and a tokenizer whose chat
template writes byte for byte what LLaMA-Factory's `chatml` template trains on. The tokenizer is a
byte-level BPE trained on the arm's own text; every byte has a token, so any prompt can be encoded.
A digit and the space before it, as in " 7", are one token.

The files are written without torch and transformers: importing them takes ten times as long as
building a small student.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cotdistill.errors import DataError, Fault
from cotdistill.files.atomic import folder_written_whole
from cotdistill.models.scratch import SPECIAL_TOKENS, Scratch

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_PADDING, _TURN_START, _TURN_END = SPECIAL_TOKENS
_PIECES = r"[ \n]?[-+=]?(?:\p{L}+|\p{N})|[ \n]?[^\s\p{L}\p{N}]+|\s"
_ROLES = ("system", "user", "assistant")
_CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
_CLASSES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}


def build_student(scratch: Scratch, texts: Iterable[str], folder: Path) -> None:
    """Write a model folder that LLaMA-Factory and lm-eval load; the same input, the same bytes.

    An existing folder is replaced only when the new one is complete.

    Raises:
        DataError: there is no text to train the tokenizer on.
        FaultsError: the folder cannot be written.
    """
    from safetensors.numpy import save_file

    tokenizer = _trained_tokenizer(scratch, texts)
    vocabulary = tokenizer.get_vocab_size()
    ends: dict[str, Any] = {
        "bos_token_id": None,
        "eos_token_id": tokenizer.token_to_id(_TURN_END),
        "pad_token_id": tokenizer.token_to_id(_PADDING),
    }
    with folder_written_whole(folder) as filling:
        tokenizer.save(str(filling / "tokenizer.json"))
        _write_json(filling / "tokenizer_config.json", _tokenizer_settings(scratch))
        _write_json(filling / "config.json", _model_settings(scratch, vocabulary) | ends)
        _write_json(filling / "generation_config.json", ends)
        weights = dict(_random_weights(scratch, vocabulary))
        save_file(weights, filling / "model.safetensors", metadata={"format": "pt"})


def _trained_tokenizer(scratch: Scratch, texts: Iterable[str]) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=scratch.vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_training_texts(texts), trainer)
    return tokenizer


def _training_texts(texts: Iterable[str]) -> Iterator[str]:
    """Yield each text and the names of the turns, which surround every text in training."""
    empty = True
    for text in texts:
        empty = False
        yield text
        yield from _ROLES
    if empty:
        raise DataError(Fault("scratch", "no text to train the tokenizer on", "at least one row"))


def _tokenizer_settings(scratch: Scratch) -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": _PADDING,
        "eos_token": _TURN_END,
        "additional_special_tokens": [_TURN_START],
        "chat_template": _CHAT_TEMPLATE,
        "model_max_length": scratch.context,
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
    }


def _model_settings(scratch: Scratch, vocabulary: int) -> dict[str, Any]:
    return {
        "architectures": [_CLASSES[scratch.architecture]],
        "model_type": scratch.architecture,
        "vocab_size": vocabulary,
        "hidden_size": scratch.hidden_size,
        "num_hidden_layers": scratch.layers,
        "num_attention_heads": scratch.heads,
        "num_key_value_heads": scratch.heads,
        "intermediate_size": scratch.intermediate_size,
        "max_position_embeddings": scratch.context,
        "initializer_range": _spread(scratch),
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
    }


def _spread(scratch: Scratch) -> float:
    return float(scratch.hidden_size**-0.5)


def _random_weights(scratch: Scratch, vocabulary: int) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield the weights with transformers' names and initial values: normal; norms 1, biases 0."""
    numbers = np.random.default_rng(scratch.seed)
    hidden, inner = scratch.hidden_size, scratch.intermediate_size

    def matrix(rows: int, columns: int) -> NDArray[np.float32]:
        drawn = numbers.standard_normal((rows, columns), dtype=np.float32)
        return drawn * np.float32(_spread(scratch))

    yield "model.embed_tokens.weight", matrix(vocabulary, hidden)
    for layer in range(scratch.layers):
        place = f"model.layers.{layer}"
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            yield f"{place}.self_attn.{name}.weight", matrix(hidden, hidden)
            if scratch.architecture == "qwen2" and name != "o_proj":
                yield f"{place}.self_attn.{name}.bias", np.zeros(hidden, np.float32)
        yield f"{place}.mlp.gate_proj.weight", matrix(inner, hidden)
        yield f"{place}.mlp.up_proj.weight", matrix(inner, hidden)
        yield f"{place}.mlp.down_proj.weight", matrix(hidden, inner)
        for name in ("input_layernorm", "post_attention_layernorm"):
            yield f"{place}.{name}.weight", np.ones(hidden, np.float32)
    yield "model.norm.weight", np.ones(hidden, np.float32)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
