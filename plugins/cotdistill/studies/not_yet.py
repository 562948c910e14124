"""What a study may say that this version cannot do yet: each key with the verb that it waits for.

A stage that arrives takes its line out of here and gets a module in `runfolder/stages/`
(docs/decisions/0019-stages.md).
"""

from __future__ import annotations

from collections.abc import Iterator

from cotdistill.errors import Fault
from cotdistill.studies.study import Study


def verbs_to_come(study: Study, place: str) -> Iterator[Fault]:
    """Yield a fault for each key whose verb this version does not have."""
    waiting: list[tuple[str, str]] = []
    for name, recipe in study.recipes.items():
        if recipe.kd and recipe.kd.divergence == "hidden_mse":
            waiting.append((f"recipes.{name}.kd.divergence", "train with hidden_mse"))
        if recipe.kd and recipe.kd.preset == "mcc-kd":
            waiting.append((f"recipes.{name}.kd.preset", "train with pairs"))
        if recipe.kd and recipe.kd.rows:
            waiting.append((f"recipes.{name}.kd.rows", "train with chosen rows"))
    for key, verb in waiting:
        yield Fault(f"{place}:{key}", f"needs the verb {verb}, which this version does not have")
