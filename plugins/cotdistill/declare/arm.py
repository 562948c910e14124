"""An arm: one way of making the training set; told apart by the key that names its source."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from cotdistill.declare.shape import Shape


class _Source(Shape):
    train: bool = True  # False: the arm is only there to be mixed from


class DatasetArm(_Source):
    """A registered dataset, by its name in `dataset_info.json` or in the legacy registry."""

    dataset: str
    folder: str | None = None
    missing: Literal["refuse", "drop"] = "refuse"  # rows that lack a mapped column


class Columns(Shape):
    """Which columns of a file hold what; None takes the first of the known names."""

    prompt: str | None = None
    query: str | None = None
    response: str | None = None
    system: str | None = None


class FileArm(_Source):
    """A local `.jsonl` or `.json` file."""

    file: str
    columns: Columns = Columns()
    missing: Literal["refuse", "drop"] = "refuse"  # rows that lack a mapped column


class MixedArm(_Source):
    """A weighted mix of other arms or registered datasets: exact counts, seeded, nested."""

    mix: dict[str, float] = Field(min_length=1)
    rows: int | None = Field(default=None, ge=1)
    seed: int = 0

    @field_validator("mix")
    @classmethod
    def _weights_are_shares(cls, mix: dict[str, float]) -> dict[str, float]:
        for name, weight in mix.items():
            if not math.isfinite(weight) or weight < 0:
                raise ValueError(f"the weight of '{name}' is {weight}; a weight is 0 or more")
        if not any(mix.values()):
            raise ValueError("all weights are 0; at least one source must count")
        return mix


class PuzzleArm(_Source):
    """Questions and rationales made by the project's own seeded puzzle generator."""

    puzzles: str
    level: int | Literal["answer-only"]
    rows: int = Field(default=1000, ge=1)
    seed: int = 0


_TAGS = {"dataset": DatasetArm, "file": FileArm, "mix": MixedArm, "puzzles": PuzzleArm}


def _arm_tag(value: Any) -> str | None:
    if isinstance(value, dict):
        for key in _TAGS:
            if key in value:
                return f"<{key}>"
        return None
    return next((f"<{key}>" for key, shape in _TAGS.items() if isinstance(value, shape)), None)


Arm = Annotated[
    Annotated[DatasetArm, Tag("<dataset>")]
    | Annotated[FileArm, Tag("<file>")]
    | Annotated[MixedArm, Tag("<mix>")]
    | Annotated[PuzzleArm, Tag("<puzzles>")],
    Discriminator(
        _arm_tag,
        custom_error_type="no_source",
        custom_error_message="Input should be an arm with one of the keys: dataset, file, mix, "
        "puzzles",
    ),
]
