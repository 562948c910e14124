"""How LLaMA-Factory's reasoning templates change a prompt, and how an evaluation gets the same one.

A reasoning template adds an empty thought to a response that has none: to the prompt where
`enable_thinking` is false or null, to the response (and so to the loss) where it is true. A chat
template with a switch of that name, as Qwen3's, adds the same thought to an evaluation's prompt;
one without it, as DeepSeek's, cannot, so there the thought is left to the response.
"""

from __future__ import annotations

from dataclasses import dataclass

REASONING = frozenset((
    "aeva", "deepseekr1", "ernie_vl", "gemma4", "gemma4n", "glm4_5v", "glm4_7", "glm4_moe", "glm4v",
    "glmz1", "gpt_oss", "hy3", "keye_vl", "kimi_vl", "mimo", "mimo_v2", "mimo_vl", "minimax2",
    "qwen3", "qwen3_5", "qwen3_6", "qwen3_omni", "qwen3_vl", "seed_oss", "youtu",
))  # fmt: skip
"""LLaMA-Factory's templates of this kind (0.9.5); a test compares the list with the host's."""

SWITCHED = frozenset(("qwen3",))
"""Those whose models' chat template has the switch; tested with the real tokenizer."""


@dataclass(frozen=True)
class Thinking:
    """`enable_thinking` of a training file, and of the evaluation's model (None: not given)."""

    training: bool | None
    evaluation: bool | None


def same_thinking(template: str, asked: bool | None, *, has_thoughts: bool) -> Thinking:
    """Return the settings with which training and evaluation have the same prompt.

    >>> same_thinking("qwen3", None, has_thoughts=False)
    Thinking(training=None, evaluation=False)
    >>> same_thinking("deepseekr1", None, has_thoughts=False)
    Thinking(training=True, evaluation=None)
    """
    if template not in REASONING:
        return Thinking(asked, None)
    without = asked is False or (asked is None and not has_thoughts)
    if template in SWITCHED:
        return Thinking(asked, False if without else None)
    return Thinking(True if asked is None and without else asked, None)
