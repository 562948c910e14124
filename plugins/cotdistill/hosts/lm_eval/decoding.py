"""Settings of generation that not every backend of lm-eval takes: beams, and the name of stops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
