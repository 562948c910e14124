"""Groups of runs (student, arm, recipe), and which group each is compared with.

A baseline is chosen by what its group has: an arm, a recipe, a student, or values of factors. Each
group is compared with the chosen one that has everything else in common with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from cotdistill.catalogue.formats import format_called
from cotdistill.errors import DataError, Fault, did_you_mean
from cotdistill.runfolder.manifest import Factor
from cotdistill.studies.load import study_if_any
from cotdistill.studies.selection import meets, nearest

Group = tuple[str, str, str]  # student, arm, recipe
Factors = Mapping[tuple[str, str], Mapping[str, Factor]]  # of each arm and recipe
Selection = Mapping[str, Factor]
UNTRAINED = "none"  # the recipe of a model that is scored as it is
ARM, RECIPE, STUDENT = "arm", "recipe", "student"
NAMES = (STUDENT, ARM, RECIPE)
NEXT = " · "  # between the parts of a group's name


def bases_of(groups: Sequence[Group], factors: Factors, chosen: Selection) -> dict[Group, Group]:
    """Return what each group is compared with: the chosen group that is like it in all the rest.

    Groups that are chosen themselves have none, nor have those for which there is none, or more
    than one. A model that is scored as it is has no recipe, and is compared with all of them.

    >>> groups = [("tiny", "a", "ce"), ("tiny", "a", "kd"), ("tiny", "b", "kd")]
    >>> bases_of(groups, {}, {"recipe": "ce"})
    {('tiny', 'a', 'kd'): ('tiny', 'a', 'ce')}
    >>> bases_of(groups, {}, {"arm": "a"})
    {('tiny', 'b', 'kd'): ('tiny', 'a', 'kd')}
    """
    of_recipes = recipe_factors(factors)
    known = {name for found in factors.values() for name in found}
    by_arm = ARM in chosen or not any(name in chosen for name in known - of_recipes)
    by_recipe = RECIPE in chosen or not any(name in chosen for name in of_recipes)

    def described(group: Group) -> dict[str, Factor]:
        found = {
            name: value
            for name, value in factors.get(group[1:], {}).items()
            if (RECIPE if name in of_recipes else ARM) not in chosen or name in chosen
        }
        names = {STUDENT: group[0]}
        names |= {ARM: group[1]} if by_arm else {}
        names |= {RECIPE: group[2]} if by_recipe and group[2] != UNTRAINED else {}
        return {**found, **names}

    all_described = {group: described(group) for group in groups}
    candidates = {group: None for group in groups if _chosen(chosen, all_described[group])}
    of_student: dict[str, list[Group]] = {}
    for group in candidates:
        of_student.setdefault("" if STUDENT in chosen else group[0], []).append(group)
    found = {}
    for group, own in all_described.items():
        if group in candidates:
            continue
        near = of_student.get("" if STUDENT in chosen else group[0], [])
        left_out = {RECIPE} if group[2] == UNTRAINED else set()
        described_near = {
            one: {name: it for name, it in all_described[one].items() if name not in left_out}
            for one in near
        }
        like_it = nearest(own, described_near, chosen)
        if not like_it and group[2] == UNTRAINED and ARM in chosen:
            like_it = near  # the other way round: one trained baseline, whatever its recipe
        if len(like_it) == 1:
            found[group] = like_it[0]
    return found


def shown(chosen: Selection) -> str:
    """Return what to call a baseline.

    >>> shown({"arm": "answer-only"}), shown({"level": 1, "recipe": "ce"})
    ('answer-only', 'level 1, recipe ce')
    """
    return ", ".join(str(v) if name == ARM else f"{name} {v}" for name, v in chosen.items())


def name_of(groups: Sequence[Group], group: Group) -> str:
    """Return the shortest name that tells a group from the others.

    >>> name_of([("tiny", "a", "ce"), ("tiny", "b", "ce")], ("tiny", "b", "ce"))
    'b'
    """
    trained = [one for one in groups if one[2] != UNTRAINED] or list(groups)
    several = [len({one[0] for one in groups}) > 1, len({one[1] for one in groups}) > 1]
    several.append(len({one[2] for one in trained}) > 1 and group[2] != UNTRAINED)
    parts = [group[part] for part in range(3) if several[part]]
    return NEXT.join(parts) or group[1]


def kind_of(chosen: Selection) -> str:
    """Return what is compared: arms, also where factors choose them, recipes or students.

    >>> kind_of({"level": 1}), kind_of({"recipe": "ce"})
    ('arm', 'recipe')
    """
    return next(iter(chosen)) if len(chosen) == 1 and set(chosen) <= set(NAMES) else ARM


def selection_of(text: str, groups: Sequence[Group], factors: Factors, state: str) -> Selection:
    """Return what a baseline on the command line chooses: a name, or factors as `level=1`.

    Raises:
        DataError: no arm, recipe or student that is `state` has the name, or no arm the value.
    """
    arms, recipes, students = _names(groups)
    for name, there in ((ARM, arms), (RECIPE, recipes), (STUDENT, students)):
        if text in there:
            return {name: text}
    if "=" not in text:
        names = [*arms, *recipes, *students]
        no_name = f"no {state} run of the arm '{text}'"
        expected = "an arm, a recipe, a student, or factors as level=1"
        raise DataError(Fault("--baseline", no_name, expected, did_you_mean(text, names)))
    values: dict[str, list[Factor]] = {ARM: [*arms], RECIPE: [*recipes], STUDENT: [*students]}
    for of_group in factors.values():
        for name, value in of_group.items():
            values.setdefault(name, []).append(value)
    chosen: dict[str, Factor] = {}
    for part in text.split(","):
        name, _, wanted = (one.strip() for one in part.partition("="))
        if name in chosen:
            raise DataError(Fault("--baseline", f"'{name}' is there twice", "one value a factor"))
        if name == "format":
            wanted = str(format_called(wanted))
        if name not in values:
            no_factor = f"no {state} run has the factor '{name}'"
            raise DataError(Fault("--baseline", no_factor, "", did_you_mean(name, list(values))))
        found = [value for value in values[name] if str(value) == wanted]
        if not found:
            there = list(dict.fromkeys(map(str, values[name])))
            no_value = f"no {state} run has {name} {wanted}"
            raise DataError(Fault("--baseline", no_value, "", f"there are {', '.join(there[:12])}"))
        chosen[name] = found[0]
    return chosen


def default_selection(groups: Sequence[Group], factors: Factors, folder: Path) -> Selection:
    """Return what others are compared with where nobody says which.

    It is what the study declares, else the arm called answer-only, else the first arm; of one arm,
    the first recipe or else the first student.
    """
    study = study_if_any(folder)
    declared = study.compare.baseline if study else None
    arms, recipes, students = _names(groups)
    if isinstance(declared, str):
        named = [arm for arm in arms if arm == declared or arm.endswith(f"/{declared}")]
        if named:  # of several folders, the first one's
            return {ARM: named[0]}
    if isinstance(declared, Mapping) and bases_of(groups, factors, declared):
        return dict(declared)
    if len(arms) == 1 and len(recipes) > 1:
        return {RECIPE: recipes[0]}
    if len(arms) == 1 and len(students) > 1:
        return {STUDENT: students[0]}
    return {ARM: next(iter([*(arm for arm in arms if "answer-only" in arm), *arms]), "")}


def _names(groups: Sequence[Group]) -> tuple[list[str], list[str], list[str]]:
    """Return the arms, the recipes and the students, each in the order of the study."""
    arms = list(dict.fromkeys(arm for _, arm, _ in groups))
    recipes = list(dict.fromkeys(recipe for _, _, recipe in groups if recipe != UNTRAINED))
    return arms, recipes, list(dict.fromkeys(student for student, _, _ in groups))


def recipe_factors(factors: Factors) -> set[str]:
    """Return the factors that are of recipes: those in which an arm differs from itself."""
    by_arm: dict[str, list[Mapping[str, Factor]]] = {}
    for (arm, recipe), found in factors.items():
        if recipe != UNTRAINED:
            by_arm.setdefault(arm, []).append(found)
    return {
        name
        for of_arm in by_arm.values()
        for name in _all_names(of_arm)
        if len({repr(one.get(name)) for one in of_arm}) > 1
    }


def _all_names(factors: Iterable[Mapping[str, Factor]]) -> set[str]:
    return {name for one in factors for name in one}


def _chosen(chosen: Selection, described: Mapping[str, Factor]) -> bool:
    """Say whether a group is a baseline: names are taken as they are, factors as a study's."""
    named = {name: value for name, value in chosen.items() if name in NAMES}
    rest = {name: value for name, value in chosen.items() if name not in NAMES}
    same = all(described.get(name) == value for name, value in named.items())
    return same and meets(rest, described)
