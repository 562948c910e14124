"""Builds a student from nothing, so that a study needs no model hub.

The folder is what both hosts expect of a local model: weights, config, and a tokenizer whose chat
template writes byte for byte what LLaMA-Factory's `chatml` template trains on. The tokenizer is a
byte-level BPE trained on the arm's own text; every byte keeps a token, so no prompt falls outside.
Digits stand alone and carry the blank before them, as in " 7", so a digit costs one token.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cotdistill.errors import DataError, Fault
from cotdistill.files.atomic import folder_written_whole
from cotdistill.models.scratch import SPECIAL_TOKENS, Scratch

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

_PADDING, _TURN_START, _TURN_END = SPECIAL_TOKENS
_PIECES = r"[ \n]?[-+=]?(?:\p{L}+|\p{N})|[ \n]?[^\s\p{L}\p{N}]+|\s"
_ROLES = ("system", "user", "assistant")
_CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def build_student(scratch: Scratch, texts: Iterable[str], folder: Path) -> None:
    """Write a model folder that LLaMA-Factory and lm-eval load; the same input, the same bytes.

    A folder already there is replaced only when the new one is complete.

    Raises:
        DataError: there is no text to train the tokenizer on.
        FaultsError: the folder cannot be written.
    """
    tokenizer = _trained_tokenizer(scratch, texts)
    model = _random_model(scratch, tokenizer)
    with folder_written_whole(folder) as filling:
        tokenizer.save_pretrained(filling)
        model.save_pretrained(filling)


def _trained_tokenizer(scratch: Scratch, texts: Iterable[str]) -> PreTrainedTokenizerFast:
    import transformers
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    pieces = Tokenizer(models.BPE())
    pieces.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    pieces.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=scratch.vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    pieces.train_from_iterator(_met_in_training(texts), trainer)
    untyped: Any = transformers.PreTrainedTokenizerFast
    tokenizer: PreTrainedTokenizerFast = untyped(
        tokenizer_object=pieces,
        pad_token=_PADDING,
        eos_token=_TURN_END,
        additional_special_tokens=[_TURN_START],
        chat_template=_CHAT_TEMPLATE,
        model_max_length=scratch.context,
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )
    return tokenizer


def _met_in_training(texts: Iterable[str]) -> Iterator[str]:
    """Yield each text and the names of the turns, which stand around every text in training."""
    empty = True
    for text in texts:
        empty = False
        yield text
        yield from _ROLES
    if empty:
        raise DataError(Fault("scratch", "no text to train the tokenizer on", "at least one row"))


def _random_model(scratch: Scratch, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    import torch
    import transformers

    config = transformers.AutoConfig.for_model(
        scratch.architecture,
        vocab_size=len(tokenizer),
        hidden_size=scratch.hidden_size,
        num_hidden_layers=scratch.layers,
        num_attention_heads=scratch.heads,
        num_key_value_heads=scratch.heads,
        intermediate_size=scratch.intermediate_size,
        max_position_embeddings=scratch.context,
        initializer_range=scratch.hidden_size**-0.5,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(scratch.seed)
        untyped: Any = transformers.AutoModelForCausalLM
        model: PreTrainedModel = untyped.from_config(config, dtype=torch.float32)
    return model
