"""How sources become one training set: the `mix:` of a study's arm, the options of `mix`."""

from __future__ import annotations

import math

from pydantic import Field, field_validator, model_validator

from cotdistill.schema import Shape


class Mixing(Shape):
    """Weights over sources, by rows or by tokens, and how rows are matched.

    Without `rows` and `tokens` it is as many rows as the weights allow. `matched` takes the same
    questions whatever the weights are, `length_matched` the same lengths.

    >>> Mixing(weights={"long": 0.2, "short": 0.8}, rows=5383, matched=True).seed
    0
    """

    weights: dict[str, float] = Field(min_length=1)
    rows: int | None = Field(default=None, ge=1)
    tokens: int | None = Field(default=None, ge=1)
    seed: int = 0
    matched: bool = False
    length_matched: bool = False
    replace: bool = False

    @field_validator("weights")
    @classmethod
    def _weights_are_shares(cls, weights: dict[str, float]) -> dict[str, float]:
        for name, weight in weights.items():
            if not math.isfinite(weight) or weight < 0:
                raise ValueError(f"the weight of '{name}' is {weight}; a weight is 0 or more")
        if not any(weights.values()):
            raise ValueError("all weights are 0; at least one source must count")
        return weights

    @model_validator(mode="after")
    def _one_way_of_counting(self) -> Mixing:
        if self.rows and self.tokens:
            raise ValueError("both 'rows' and 'tokens' are given; choose one")
        if self.matched and self.length_matched:
            raise ValueError("both 'matched' and 'length_matched' are given; choose one")
        if self.tokens and (self.matched or self.length_matched or self.replace):
            raise ValueError("'tokens' goes with neither matching nor 'replace'")
        if self.replace and (self.matched or self.length_matched):
            raise ValueError("'replace' goes with no matching")
        return self
