"""The `kd:` block: whose next-token distributions a student learns from, and by which loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from cotdistill.schema import Shape

Divergence = Literal[
    "forward_kl", "reverse_kl", "jsd", "skew_forward", "skew_reverse", "tvd", "soft_ce",
    "logit_mse", "hidden_mse", "consistency", "none",
]  # fmt: skip

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "mentor-kd": {
        "divergence": "forward_kl",
        "weight": 0.3,
        "temperature": 2.0,
        "t2_scale": False,
    },
    "mcc-kd": {
        "divergence": "consistency",
        "weight": 0.1,
        "temperature": 1.3,
        "t2_scale": False,
    },
}
"""Published settings; other keys of the block override them.

mentor-kd: 0.7 CE + 0.3 KL(mentor, student) at T = 2, without T squared. Source: Mentor-KD, Lee et
al. 2024, arXiv:2410.09037, section 3.3; weight and temperature as in its scripts.

mcc-kd: (CE of one rationale + CE of another) / 2 + 0.1 times the symmetric KL of their answers'
tokens at T = 1.3. Source: MCC-KD, Chen et al. 2023, arXiv:2310.14747; the numbers are those of its
script (its code's default weight is 0.01).
"""

_ALONE = {
    "beta": ("jsd",),
    "alpha": ("skew_forward", "skew_reverse"),
    "top_k": ("forward_kl", "reverse_kl", "jsd", "skew_forward", "skew_reverse", "tvd", "soft_ce"),
    "temperature": (
        "forward_kl", "reverse_kl", "jsd", "skew_forward", "skew_reverse", "tvd", "soft_ce",
        "consistency",
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

    `consistency` has no teacher: two rationales of one question are each other's, and the loss is
    CE + weight * divergence on the tokens of their answers.

    >>> Distillation(teacher="big/model", preset="mentor-kd").temperature
    2.0
    """

    teacher: Teacher | str | None = Field(
        default=None, description="a model (folder or hub id), or a mapping of its details"
    )
    preset: Literal["mentor-kd", "mcc-kd"] | None = Field(
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
    hidden_weight: float = Field(
        default=0.0, ge=0, le=100,
        description="adds the mean squared error of the last hidden states, times this",
    )  # fmt: skip
    rows: dict[str, Any] | None = Field(
        default=None,
        description="the rows with these columns have a teacher, the others are plain CE",
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
        if self.divergence in ("none", "consistency"):
            self._refuse_a_teacher()
        elif self.teacher is None:
            raise ValueError(f"divergence {self.divergence} needs a teacher")
        if self.weight == 0 and self.divergence != "none":
            what = "the divergence" if self.teacher is None else "it"
            with_ = "" if self.teacher is None else " with a teacher"
            raise ValueError(
                f"weight 0{with_} would train without {what}; use divergence: none, or a weight"
            )
        if self.hidden_weight and self.divergence == "hidden_mse":
            raise ValueError("hidden_mse has weight; hidden_weight adds it to another divergence")
        if self.count_padding and (self.rows or self.hidden_factor):
            raise ValueError("count_padding goes with neither rows nor hidden states")
        if self.source.signals:
            self._refuse_what_signals_lack()
        return self

    def _refuse_a_teacher(self) -> None:
        if self.teacher is not None:
            raise ValueError(
                f"divergence {self.divergence} with a teacher would train without it; leave the "
                "teacher out"
            )
        for key in ("hidden_weight", "rows", "count_padding"):
            if getattr(self, key):
                raise ValueError(f"{key} has no effect with divergence {self.divergence}")

    def _refuse_what_signals_lack(self) -> None:
        if self.divergence == "logit_mse":
            raise ValueError("logit_mse needs a teacher's logits, which signals do not hold")
        if self.hidden_factor:
            raise ValueError("hidden states are not in signals; name a model as the teacher")
        if self.count_padding:
            raise ValueError("signals hold nothing about padding; count_padding needs a model")

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
        scaled = self.t2_scale and self.divergence not in ("logit_mse", "hidden_mse")
        return self.weight * (self.temperature**2 if scaled else 1.0)

    @property
    def ce_weight(self) -> float:
        """What cross-entropy is multiplied with, where there is a teacher."""
        return 1.0 if self.divergence == "consistency" else 1.0 - self.weight

    @property
    def hidden_factor(self) -> float:
        """What the squared error of the last hidden states is multiplied with."""
        return self.weight if self.divergence == "hidden_mse" else self.hidden_weight

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
        if self.divergence in ("logit_mse", "hidden_mse"):
            temperature = ""
        elif self.temperature != 1:
            temperature += f", {'' if self.t2_scale else 'not '}multiplied by T^2"
        support = f"all {vocabulary:,} tokens of the vocabulary"
        if self.top_k:
            support = f"{self.top_k} tokens of the teacher and one bucket for the rest"
        if self.divergence == "consistency":
            return (
                f"(CE of one rationale + CE of another) / 2 + {self.weight:g} * symmetric KL on "
                f"the tokens of their answers{temperature}; means over the tokens of the global "
                f"batch; {support}"
            )
        reduction = "sum over supervised tokens / their number in the global batch"
        if self.count_padding:
            reduction += " (divergence: mean over all tokens of a batch, padding included)"
        hidden = f" + {self.hidden_weight:g} * hidden_mse" if self.hidden_weight else ""
        if self.rows:
            which = ", ".join(f"{column} {value}" for column, value in self.rows.items())
            support += f"; only for rows with {which}, CE for the others"
        return (
            f"{1 - self.weight:g} * CE + {self.weight:g} * {self.divergence}(teacher, student)"
            f"{hidden}{mixture}{temperature}; {reduction}; {support}"
        )
