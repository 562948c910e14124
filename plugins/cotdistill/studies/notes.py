"""What a study may say and its reader should know: likely mistakes, and what words imply."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cotdistill.catalogue.formats import format_called
from cotdistill.hosts.llamafactory.thinking import REASONING
from cotdistill.studies.arm import MixedArm, TeachArm
from cotdistill.studies.declared_model import MergedModel, ScratchModel
from cotdistill.studies.known_model import known_model
from cotdistill.studies.selection import When, meets, values_of
from cotdistill.studies.study import Study
from cotdistill.tables import counted

_USUAL = {"full": (1.0e-7, 1.0e-3), "adapter": (1.0e-6, 1.0e-2)}
"""Lowest and highest rate that is met: papers and hosts' examples use 1e-6 to 1e-4 for all weights,
1e-5 to 1e-3 for adapters; a factor of ten is left on either side."""
_THINKS = re.compile(
    r"(^|[-_/.])(r1|qwq|o[134]|qwen3|gpt-oss|magistral|thinking?|reason\w*|longcot|deepseek-v3\.[12])"
    r"(?![a-z])",
    re.IGNORECASE,
)
"""Names of models that write thoughts apart from their answers."""
_SHOWN = 5


def study_notes(study: Study) -> Iterator[str]:
    """Yield a sentence for each thing in a study that its reader should know."""
    yield from unusual_learning_rates(study)
    yield from _thoughts_left_out(study)
    yield from _uneven_weights(study)
    yield from _merges_of_one(study)
    yield from _choosing_nothing(study)
    yield from _the_same_twice(study)


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


def _thoughts_left_out(study: Study) -> Iterator[str]:
    """Say where a reasoning teacher's thoughts are no part of the rows."""
    arms: dict[str, list[str]] = {}
    for name, arm in study.arms.items():
        if not isinstance(arm, TeachArm) or arm.teach.reasoning != "drop":
            continue
        if arm.teach.thinking == "off" or not _may_think(study, arm.teach.teacher):
            continue
        arms.setdefault(arm.teach.teacher, []).append(name)
    for teacher, named in arms.items():
        yield (
            f"{_listed(named)}: the thoughts of '{teacher}' are left out of the rows (reasoning: "
            "drop); reasoning: plain keeps them as text, think in <think> tags"
        )


def _may_think(study: Study, name: str) -> bool:
    """Whether a model writes thoughts apart from its answer, by its template or its name."""
    declared = study.models.get(name)
    if isinstance(declared, MergedModel):
        return any(_may_think(study, part) for part in declared.models if part != name)
    known = known_model(name, study.models)
    return known.template in REASONING or _THINKS.search(known.model or "") is not None


def _uneven_weights(study: Study) -> Iterator[str]:
    """Say what weights mean that look like shares and do not sum to 1."""
    for name, arm in study.arms.items():
        if not isinstance(arm, MixedArm):
            continue
        total = sum(arm.mix.values())
        if len(arm.mix) > 1 and max(arm.mix.values()) < 1 and abs(total - 1) > 1e-6:
            shares = ", ".join(
                f"{source} {weight / total:.1%}" for source, weight in arm.mix.items()
            )
            yield f"arm '{name}': weights are relative and sum to {total:g}, so it is {shares}"


def _merges_of_one(study: Study) -> Iterator[str]:
    for name, model in study.models.items():
        if isinstance(model, MergedModel) and len(model.models) == 1:
            ((part, share),) = model.models.items()
            yield (
                f"model '{name}': merges one model: the base and {share.weight:g} times its "
                f"difference to '{part}', of which {share.density:.0%} is kept"
            )


def _choosing_nothing(study: Study) -> Iterator[str]:
    """Say which `when:` of tasks and recipes ask for a value that no arm has."""
    asked = [(f"task '{use.task}'", use.when) for use in study.evaluation.tasks]
    asked += [(f"recipe '{name}'", recipe.when) for name, recipe in study.recipes.items()]
    found: dict[str, list[str]] = {}
    for what, when in asked:
        if when and not any(meets(when, arm.factors) for arm in study.arms.values()):
            found.setdefault(_wanted(study, when), []).append(what)
    for wanted, names in found.items():
        yield f"{_listed(names)}: {wanted}"


def _the_same_twice(study: Study) -> Iterator[str]:
    """Say which arms, and which recipes, differ in nothing but their names."""
    for kind, entries in (("arms", study.arms), ("recipes", study.recipes)):
        same: dict[str, list[str]] = {}
        for name, entry in entries.items():
            if kind == "arms" and not getattr(entry, "train", True):
                continue  # a source of others
            same.setdefault(entry.model_dump_json(exclude={"factors"}), []).append(name)
        for names in same.values():
            if len(names) > 1:
                yield (
                    f"{kind} {_listed(names)} are the same but for their names and factors: each "
                    "is trained and tested on its own, and no difference can be found"
                )


def _wanted(study: Study, when: When) -> str:
    """Return which factor of a selection no arm has, with the values that there are."""
    for factor, wanted in when.items():
        if not any(meets({factor: wanted}, arm.factors) for arm in study.arms.values()):
            values = [arm.factors[factor] for arm in study.arms.values() if factor in arm.factors]
            there = _listed([str(value) for value in dict.fromkeys(values)])
            named = _listed([str(format_called(one)) for one in values_of(wanted)])
            return f"no arm has {factor} {named}; there are {there or 'none'}"
    chosen = ", ".join(f"{factor}: {wanted}" for factor, wanted in when.items())
    return f"no arm has {{{chosen}}} together"


def _listed(names: list[str]) -> str:
    if len(names) <= _SHOWN:
        return ", ".join(names)
    return f"{', '.join(names[:_SHOWN])} and {counted(len(names) - _SHOWN, 'other')}"
