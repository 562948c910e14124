"""Which arm each arm of a study is compared with: one for all, or one for each group of arms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from cotdistill.errors import Fault, did_you_mean
from cotdistill.studies.arm import Factor, LoopArm, UntouchedArm
from cotdistill.studies.selection import meets, nearest

if TYPE_CHECKING:
    from cotdistill.studies.study import Study

_BESIDES = ("arm", "recipe", "student")
Selection = dict[str, Factor]
"""Factors that choose baselines, as {level: 1}."""


def baseline_arms(study: Study) -> dict[str, str | None]:
    """Return the baseline of every arm that has runs; a baseline's own is itself, None is none.

    `compare.baseline` names one arm, which is everybody's. Factors, as {level: 1}, choose an arm in
    each group: the one with these factors whose other factors the compared arm has as well.
    Where only a recipe or student is chosen, as {recipe: ce}, an arm is compared with itself under
    that. Without a declared baseline every value is None.

    >>> from cotdistill.studies.load import load_study
    >>> baseline_arms(load_study("quickstart")[0])["level3"]
    'answer-only'
    """
    declared = study.compare.baseline
    factors = _factors(study)
    if declared is None or isinstance(declared, str):
        return dict.fromkeys(factors, declared)
    chosen = _of_arms(study, declared)
    if not chosen:
        return {arm: arm for arm in factors}
    return {arm: next(iter(_nearest(arm, factors, chosen)), None) for arm in factors}


def first_baseline(study: Study) -> str | None:
    """Return a declared baseline: the only one, or the first of several; None without any."""
    return next((arm for arm in baseline_arms(study).values() if arm is not None), None)


def baseline_faults(study: Study, place: str) -> Iterator[Fault]:
    """Yield what keeps factors from choosing baselines: none is chosen, or two for one arm."""
    declared = study.compare.baseline
    if declared is None or isinstance(declared, str):
        return
    where = f"{place}:compare.baseline"
    factors = _factors(study)
    of_arms = {name for of_arm in factors.values() for name in of_arm}
    known = sorted(of_arms | {*_BESIDES, *_of_recipes(study)})
    unknown = [name for name in declared if name not in known]
    for name in unknown:
        yield Fault(where, f"no arm has the factor '{name}'", "", did_you_mean(name, known))
    if not declared:
        yield Fault(where, "no factors", "an arm, or factors as {level: 1}")
    for name, names in (("recipe", [*study.recipes]), ("student", study.students)):
        if name in declared and declared[name] not in names:
            hint = did_you_mean(str(declared[name]), names)
            yield Fault(where, f"no {name} '{declared[name]}'", "", hint)
    declared = _of_arms(study, declared)
    if unknown or not declared:
        return
    if not any(meets(declared, of_arm) for of_arm in factors.values()):
        values = {name: list(dict.fromkeys(of[name] for of in factors.values() if name in of))
                  for name in declared}  # fmt: skip
        known_values = "; ".join(
            f"{name}: {', '.join(map(str, of[:12]))}" for name, of in values.items()
        )
        yield Fault(where, f"no arm has {_shown(declared)}", "", f"there are {known_values}")
        return
    several = {arm: found for arm in factors if len(found := _nearest(arm, factors, declared)) > 1}
    for arm, found in list(several.items())[:1]:
        more = f" (and {len(several) - 1} more arms)" if len(several) > 1 else ""
        wrong = f"{_shown(declared)} chooses {' and '.join(found[:3])} for the arm '{arm}'{more}"
        yield Fault(where, wrong, "one arm", "name further factors, or give these arms some")


def without_baseline(study: Study) -> list[str]:
    """Return the arms for which factors choose no baseline."""
    if study.compare.baseline is None:
        return []
    return [arm for arm, baseline in baseline_arms(study).items() if baseline is None]


def _of_arms(study: Study, chosen: Selection) -> Selection:
    """Return the part of a selection that chooses among arms."""
    others = {*_BESIDES, *_of_recipes(study)} - {"arm"}
    return {name: value for name, value in chosen.items() if name not in others}


def _of_recipes(study: Study) -> set[str]:
    """Return the factors that only recipes have."""
    of_arms = {name for arm in study.arms.values() for name in arm.factors}
    return {name for one in study.recipes.values() for name in one.factors} - of_arms


def _factors(study: Study) -> dict[str, Mapping[str, Factor]]:
    """Return the factors of the arms that have runs."""
    return {
        name: {"arm": name, **arm.factors}
        for name, arm in study.arms.items()
        if isinstance(arm, UntouchedArm | LoopArm) or arm.train
    }


def _nearest(arm: str, factors: Mapping[str, Mapping[str, Factor]], chosen: Selection) -> list[str]:
    """Return the baselines of an arm's group, of which those with most factors in common."""
    own = factors[arm]
    if meets(chosen, own):
        return [arm]
    candidates = {
        name: {key: value for key, value in of_other.items() if key != "arm"}
        for name, of_other in factors.items()
        if meets(chosen, of_other)
    }
    return nearest(own, candidates, chosen)


def _shown(chosen: Selection) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in chosen.items()) + "}"
