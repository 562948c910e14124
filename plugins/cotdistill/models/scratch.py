"""The shape of a student that starts from nothing: a small architecture and its own tokenizer."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from cotdistill.schema import Shape

SCRATCH_TEMPLATE = "chatml"
"""The LLaMA-Factory template whose bytes a scratch student's chat template writes."""
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
"""Padding, start of a turn, end of a turn (what the student learns to stop with)."""
SMALLEST_VOCABULARY = 256 + len(SPECIAL_TOKENS)
"""Every byte has a token, so any evaluation prompt can be written."""


class Scratch(Shape):
    """A random student of one architecture, with a byte-level BPE trained on its arm's text.

    >>> Scratch(architecture="qwen2", layers=1).hidden_size
    128
    """

    architecture: Literal["llama", "qwen2"] = "llama"
    hidden_size: int = Field(default=128, ge=8)
    layers: int = Field(default=2, ge=1)
    heads: int = Field(default=4, ge=1)
    intermediate_size: int = Field(default=512, ge=8)
    vocab_size: int = Field(
        default=512,
        ge=SMALLEST_VOCABULARY,
        description=f"at most so many tokens; {SMALLEST_VOCABULARY} means plain bytes",
    )
    context: int = Field(default=512, ge=8, description="tokens a prompt and its answer may have")
    seed: int = Field(
        default=0,
        ge=0,
        description="of the weights from which adapters are trained; for whole models, "
        "LLaMA-Factory draws others with each random seed of the study",
    )

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.hidden_size % (2 * self.heads):  # rotary positions turn pairs of numbers
            raise ValueError(
                f"hidden_size {self.hidden_size} cannot be cut into {self.heads} heads of even "
                f"width; choose a multiple of {2 * self.heads}"
            )
        return self
