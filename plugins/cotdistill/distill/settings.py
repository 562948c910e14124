"""The `kd:` block: whose next-token distributions a student learns from, and by which loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from cotdistill.schema import Shape

Divergence = Literal[
    "forward_kl", "reverse_kl", "jsd", "skew_forward", "skew_reverse", "tvd", "soft_ce",
    "logit_mse", "none",
]  # fmt: skip

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "mentor-kd": {
        "divergence": "forward_kl",
        "weight": 0.3,
        "temperature": 2.0,
        "t2_scale": False,
    },
}
"""Published settings; other keys of the block override them.

mentor-kd: 0.7 CE + 0.3 KL(mentor, student) at T = 2, without T squared. Source: Mentor-KD, Lee et
al. 2024, arXiv:2410.09037, section 3.3; weight and temperature as in its scripts.
"""

_ALONE = {
    "beta": ("jsd",),
    "alpha": ("skew_forward", "skew_reverse"),
    "top_k": ("forward_kl", "reverse_kl", "jsd", "skew_forward", "skew_reverse", "tvd", "soft_ce"),
    "temperature": (
        "forward_kl", "reverse_kl", "jsd", "skew_forward", "skew_reverse", "tvd", "soft_ce",
    ),
}  # fmt: skip
"""Keys that only some divergences use; anywhere else they would be ignored."""


def with_preset(block: Any) -> Any:
    """Return a block with its preset's settings for the keys that it does not give.

    >>> with_preset({"preset": "mentor-kd", "weight": 0.5})["weight"]
    0.5
    """
    preset = PRESETS.get(str(block.get("preset"))) if isinstance(block, dict) else None
    if preset is None:
        return block
    divergence = block.get("divergence", preset.get("divergence"))
    unused = [key for key, users in _ALONE.items() if divergence not in users]
    return {key: part for key, part in preset.items() if key not in unused} | block


class Teacher(Shape):
    """A teacher: a model that is loaded next to the student, or the signals captured from one.

    With signals no model is loaded; model and revision are then only compared with what the
    signals were captured from.
    """

    model: str | None = Field(default=None, description="model folder or hub id")
    signals: str | None = Field(default=None, description="folder that `cotdistill capture` wrote")
    revision: str | None = None
    adapters: str | None = Field(default=None, description="LoRA adapters on top of the model")
    quantization: Literal[4, 8] | None = Field(default=None, description="bits of the weights")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.model is None and self.signals is None:
            raise ValueError("a teacher is a model or signals; name one")
        if self.signals and (self.adapters or self.quantization):
            raise ValueError("adapters and quantization have no effect on stored signals")
        return self

    @property
    def is_loaded(self) -> bool:
        """Whether a model is in memory while the student trains."""
        return self.signals is None


class Distillation(Shape):
    """The loss (1 - weight) * CE + weight * divergence(teacher, student) per supervised token.

    >>> Distillation(teacher="big/model", preset="mentor-kd").temperature
    2.0
    """

    teacher: Teacher | str | None = Field(
        default=None, description="a model (folder or hub id), or a mapping of its details"
    )
    preset: Literal["mentor-kd"] | None = Field(
        default=None, description="published settings, for keys that are not given"
    )
    divergence: Divergence = "forward_kl"
    weight: float = Field(default=0.5, ge=0, le=1, description="of the divergence; the rest is CE")
    temperature: float = Field(default=1.0, gt=0, le=100)
    t2_scale: bool = Field(
        default=True, description="multiply the divergence, and so its gradient, by T squared"
    )
    beta: float = Field(default=0.5, gt=0, lt=1, description="teacher's part in jsd's mixture")
    alpha: float = Field(default=0.1, gt=0, lt=1, description="mixing of the skewed divergences")
    top_k: int | None = Field(
        default=None, ge=1, description="the teacher's k likeliest tokens and one rest"
    )
    chunk: int | None = Field(default=None, ge=1, description="tokens of the head at a time")
    count_padding: bool = Field(
        default=False,
        description="repeat Mentor-KD's bug: average the divergence over padding and prompt too",
    )
    vocabulary_check: bool = Field(
        default=True, description="refuse a teacher whose token ids mean something else"
    )
    allow_untested: bool = Field(
        default=False, description="run with releases of LLaMA-Factory that were not tested"
    )

    @model_validator(mode="before")
    @classmethod
    def _preset_fills_in(cls, value: Any) -> Any:
        return with_preset(value)

    @model_validator(mode="after")
    def _every_key_has_an_effect(self) -> Self:
        for key, users in _ALONE.items():
            if key in self.model_fields_set and self.divergence not in users:
                raise ValueError(f"{key} has no effect with divergence {self.divergence}")
        if self.divergence == "none":
            if self.teacher is not None:
                raise ValueError(
                    "divergence none with a teacher would train without it; leave the teacher out"
                )
        elif self.teacher is None:
            raise ValueError(f"divergence {self.divergence} needs a teacher")
        elif self.weight == 0:
            raise ValueError(
                "weight 0 with a teacher would train without it; use divergence: none, or a weight"
            )
        if self.divergence == "logit_mse" and self.source.signals:
            raise ValueError("logit_mse needs a teacher's logits, which signals do not hold")
        if self.count_padding and self.source.signals:
            raise ValueError("signals hold nothing about padding; count_padding needs a model")
        return self

    @property
    def source(self) -> Teacher:
        """The teacher with all its details.

        >>> Distillation(teacher="big/model").source.model
        'big/model'
        """
        if self.teacher is None or isinstance(self.teacher, str):
            return Teacher(model=self.teacher or "none")
        return self.teacher

    @property
    def kd_weight(self) -> float:
        """What the divergence is multiplied with, T squared included where it is asked for."""
        scaled = self.t2_scale and self.divergence != "logit_mse"
        return self.weight * (self.temperature**2 if scaled else 1.0)

    def described(self, vocabulary: int) -> str:
        """State the loss in one line, as the log does.

        >>> print(Distillation(teacher="big/model", preset="mentor-kd").described(49152))
        0.7 * CE + 0.3 * forward_kl(teacher, student), T = 2, not multiplied by T^2; sum over \
supervised tokens / their number in the global batch; all 49,152 tokens of the vocabulary
        """
        mixture = {"jsd": f", beta = {self.beta:g}"}.get(self.divergence, "")
        if self.divergence.startswith("skew"):
            mixture = f", alpha = {self.alpha:g}"
        temperature = f", T = {self.temperature:g}"
        if self.divergence == "logit_mse":
            temperature = ""
        elif self.temperature != 1:
            temperature += f", {'' if self.t2_scale else 'not '}multiplied by T^2"
        support = f"all {vocabulary:,} tokens of the vocabulary"
        if self.top_k:
            support = f"{self.top_k} tokens of the teacher and one bucket for the rest"
        reduction = "sum over supervised tokens / their number in the global batch"
        if self.count_padding:
            reduction += " (divergence: mean over all tokens of a batch, padding included)"
        return (
            f"{1 - self.weight:g} * CE + {self.weight:g} * {self.divergence}(teacher, student)"
            f"{mixture}{temperature}; {reduction}; {support}"
        )
