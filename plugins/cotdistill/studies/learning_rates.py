"""Learning rates far outside what trains a pretrained student: a warning, never a refusal."""

from __future__ import annotations

from collections.abc import Iterator

from cotdistill.studies.declared_model import ScratchModel
from cotdistill.studies.study import Study

_USUAL = {"full": (1.0e-7, 1.0e-3), "adapter": (1.0e-6, 1.0e-2)}
"""Lowest and highest rate that is met: papers and hosts' examples use 1e-6 to 1e-4 for all weights,
1e-5 to 1e-3 for adapters; a factor of ten is left on either side."""


def unusual_learning_rates(study: Study) -> Iterator[str]:
    """Yield a sentence for each recipe whose learning rate a pretrained student will not survive.

    Students that are randomly initialised take much higher rates; nothing is said of them.
    """
    pretrained = any(
        not isinstance(study.models.get(name), ScratchModel) for name in study.students
    )
    if not pretrained:
        return
    for name, recipe in study.recipes.items():
        kind = "full" if recipe.template == "full" else "adapter"
        low, high = _USUAL[kind]
        rate = recipe.learning_rate
        if not low <= rate <= high:
            way = (
                "too high: it destroys what the student knows"
                if rate > high
                else "too low to learn"
            )
            weights = "all weights" if kind == "full" else "adapters"
            yield (
                f"recipe '{name}': a learning_rate of {rate:g} for {weights} is most likely {way}; "
                f"usual are {low:g} to {high:g}"
            )
