"""What a merge is made from: method, base, models with weights and densities, donor, seed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from cotdistill.schema import Shape, key

Method = Literal["linear", "task_arithmetic", "ties", "dare_linear", "dare_ties", "slerp"]
WITHOUT_BASE = ("linear", "slerp")
_MOST = 1000.0  # a larger weight is a mistake
_KEEPS_PART = ("ties", "dare_linear", "dare_ties")


class MergeShare(Shape):
    """What one model adds to a merge."""

    weight: float = key(
        1.0, "weight of the model, or of its difference from the base", 0.5, ge=-_MOST, le=_MOST
    )
    density: float = key(1.0, "share of the differences that is kept", 0.5, gt=0, le=1)


class Merge(Shape):
    """A model merged from others of one shape, as MiCoTA's teacher assistant."""

    merge: Method = key(..., "method", "dare_ties")
    models: dict[str, MergeShare] = key(
        ...,
        "models by name, hub id or path, each with its weight and density",
        {"Qwen/Qwen2.5-14B-Instruct": {"weight": 0.5, "density": 0.5}},
        min_length=1,
    )
    base: str | None = key(
        None, "model that differences are taken from; linear has none", "Qwen/Qwen2.5-14B"
    )
    donor: str | None = key(
        None,
        "model whose config, tokenizer and chat template are copied; null: the base, or the first",
        "Qwen/Qwen2.5-14B-Instruct",
    )
    seed: int = key(0, "of the parts that DARE drops", 0)
    normalize: bool | None = key(
        None, "divide by the sum of the weights; null: for linear only", True
    )
    scale: float = Field(
        1.0,
        alias="lambda",
        description="factor of the merged differences",
        examples=[1.0],
        ge=-_MOST,
        le=_MOST,
    )
    tokens: Literal["same", "donor"] = key(
        "same",
        "special tokens that models give other meanings: refused, or their rows are the donor's",
        "donor",
    )

    @model_validator(mode="after")
    def _fits_the_method(self) -> Merge:
        if self.merge not in WITHOUT_BASE and self.base is None:
            raise ValueError(f"{self.merge} needs a 'base' that differences are taken from")
        if self.merge in WITHOUT_BASE and self.base is not None:
            raise ValueError(f"{self.merge} takes no differences; leave 'base' out")
        if self.base in self.models:
            raise ValueError(
                f"the base '{self.base}' is a model too, and has no difference to itself"
            )
        if self.merge == "slerp" and len(self.models) != 2:
            raise ValueError(f"slerp merges 2 models, and {len(self.models)} are named")
        if self.merge == "linear" and len(self.models) < 2:
            raise ValueError("linear merges 2 models or more, and 1 is named")
        _refuse_unused(self)
        weights = [share.weight for share in self.models.values()]
        if self.is_normalized and abs(sum(weights)) < 1e-8:
            raise ValueError("the weights sum to 0, and are to be divided by their sum")
        if self.merge == "slerp" and min(weights) < 0:
            raise ValueError("slerp's weights say how far to go from one to the other: 0 or more")
        return self

    @property
    def is_normalized(self) -> bool:
        """Whether the result is divided by the sum of the weights."""
        if self.merge == "slerp":
            return True
        return self.merge == "linear" if self.normalize is None else self.normalize

    @property
    def chosen_donor(self) -> str:
        """The model whose config and tokenizer are copied."""
        return self.donor or self.base or next(iter(self.models))


def _refuse_unused(merge: Merge) -> None:
    """Refuse values that the method does not use: they are most likely a mistake."""
    sparse = [name for name, share in merge.models.items() if share.density < 1]
    if sparse and merge.merge not in _KEEPS_PART:
        keeping = ", ".join(_KEEPS_PART)
        raise ValueError(f"{merge.merge} keeps everything; 'density' is for {keeping}")
    if merge.merge in WITHOUT_BASE and merge.scale != 1:
        raise ValueError(f"{merge.merge} has no differences that 'lambda' could scale")
    if merge.merge == "slerp" and merge.normalize is not None:
        raise ValueError("slerp uses the ratio of its two weights; leave 'normalize' out")
