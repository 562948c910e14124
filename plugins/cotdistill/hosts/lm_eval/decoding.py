"""Settings of generation: their names and ranges, and what not every backend of lm-eval takes."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cotdistill.errors import Fault, did_you_mean

BEAM_SEARCHERS = ("hf", "hf-auto", "huggingface", "dummy")
"""vLLM took beam search out of its sampling parameters; servers ignore or refuse the setting."""

NO_BEAMS = ("vllm", "local-completions", "local-chat-completions")
"""Packaged backends that do not search with beams."""

STOPS_ARE_UNTIL = ("hf", "hf-auto", "huggingface", "vllm")
"""Backends that pass `until` on as `stop`, so that a second `stop` is a TypeError."""


def beams(settings: Mapping[str, Any]) -> int:
    """Return how many beams these generation settings ask for.

    >>> beams({"num_beams": 5}), beams({"num_beams": "3"}), beams({"temperature": 0})
    (5, 3, 1)
    """
    asked = settings.get("num_beams") or 1
    return int(asked) if str(asked).isdigit() else 1


_BUDGETS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
_MOST_TOKENS = 10_000_000
_LIMITS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(
        (*_BUDGETS, "num_beams"),
        (
            "a whole number of 1 or more",
            lambda value: _is_whole(value) and 1 <= value <= _MOST_TOKENS,
        ),
    ),
    "temperature": ("a number of 0 or more", lambda value: _is_number(value) and value >= 0),
    "top_p": ("a number above 0, at most 1", lambda value: _is_number(value) and 0 < value <= 1),
    "min_p": ("a number from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1),
    "top_k": ("a whole number; 0 or -1 for all", lambda value: _is_whole(value) and value >= -1),
    "repetition_penalty": ("a number above 0", lambda value: _is_number(value) and value > 0),
    "do_sample": ("true or false", lambda value: isinstance(value, bool)),
    "until": ("a text or a list of texts", lambda value: _are_texts(value)),
}
_OTHERS = (
    "presence_penalty", "frequency_penalty", "seed", "stop", "stop_token_ids", "ignore_eos", "n",
    "best_of", "min_tokens", "logprobs", "skip_special_tokens", "spaces_between_special_tokens",
    "include_stop_str_in_output", "length_penalty", "no_repeat_ngram_size", "typical_p",
    "penalty_alpha", "early_stopping", "diversity_penalty", "num_beam_groups", "min_length",
    "min_new_tokens", "max_length", "max_time", "epsilon_cutoff", "eta_cutoff", "guidance_scale",
    "use_cache", "eos_token_id", "pad_token_id", "bos_token_id", "bad_words_ids",
    "bad_words", "suppress_tokens", "stop_strings", "num_return_sequences", "logit_bias",
    "chat_template_kwargs", "extra_body",
)  # fmt: skip
_ALMOST = 0.8  # how alike a misspelt name is; other names are passed on as they are


def decoding_faults(settings: Mapping[str, Any], place: str) -> Iterator[Fault]:
    """Yield settings of generation that no backend takes: misspelt names, values out of range.

    A name that is like none of those known is passed on; a backend may know it.

    >>> print(*decoding_faults({"max_gen_tok": 64, "temperature": -1, "mirostat": 2}, "s.yaml:g"))
    s.yaml:g: unknown key 'max_gen_tok'; did you mean 'max_gen_toks'? s.yaml:g.temperature: -1; \
expected a number of 0 or more
    """
    known = (*_LIMITS, *_OTHERS)
    for name, value in settings.items():
        if name in _LIMITS:
            expected, fits = _LIMITS[name]
            if not fits(value):
                yield Fault(
                    f"{place}.{name}", "nothing" if value is None else repr(value)[:80], expected
                )
        elif name not in known and difflib.get_close_matches(name, known, n=1, cutoff=_ALMOST):
            yield Fault(place, f"unknown key '{name}'", "", did_you_mean(name, known))


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _are_texts(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(text, str) for text in value)
    )
