"""Grids: `for:` of models, arms and recipes, `extends:` of recipes, written out as plain entries.

    "level-{level}":
      for: {level: [1, 3, 6]}
      teach: {questions: svamp, teacher: teacher, level: "{level}"}

is three arms, each with `factors: {level: 1}` and so on. The axis `datasets` runs over registered
datasets by their own factors: `for: {datasets: {teacher: [chatgpt, gemini], questions: SVAMP}}`
binds `{dataset}` and each factor of the dataset. A list of grids is their union.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from cotdistill.catalogue.formats import format_meant, with_format
from cotdistill.catalogue.packaged import Registrations, datasets
from cotdistill.errors import Fault, StudyError, did_you_mean
from cotdistill.studies.selection import meets, values_of

Registered = Callable[[], Registrations]
"""The registered datasets, which are read only where a grid or an arm asks for one."""
RESERVED = ("run", "student", "arm", "recipe", "seed", "task", "dataset", "datasets")
"""Names that a factor cannot have: columns of their own, or what `for:` itself binds."""
_HOLE = re.compile(r"(?<!\{)\{([A-Za-z_]\w*)\}(?!\})")
_MOST = 100_000


def expand(value: dict[str, Any], place: str) -> dict[str, Any]:
    """Return a study's mapping with every grid written out; what is misshapen stays as it is.

    Raises:
        StudyError: everything that is wrong with a grid, all at once.

    >>> study = {"arms": {"l{level}": {"for": {"level": [1, 2]}, "file": "l{level}.jsonl"}}}
    >>> expand(study, "s.yaml")["arms"]["l2"]
    {'file': 'l2.jsonl', 'factors': {'level': 2}}
    """
    faults: list[Fault] = []
    new = dict(value)
    if isinstance(value.get("race"), dict):  # YAML reads the key `on` as true
        new["race"] = {"on" if k is True else k: v for k, v in value["race"].items()}
    registered = functools.cache(datasets)
    if isinstance(value.get("models"), dict):
        new["models"] = _grids(value["models"], f"{place}:models", registered, faults)
    if isinstance(value.get("recipes"), dict):
        extended = _extended(value["recipes"], f"{place}:recipes", faults)
        new["recipes"] = _grids(extended, f"{place}:recipes", registered, faults)
    if isinstance(value.get("arms"), dict):
        arms = _grids(value["arms"], f"{place}:arms", registered, faults)
        new["arms"] = {name: _with_own_factors(arm, registered) for name, arm in arms.items()}
    if faults:
        raise StudyError(faults)
    return new


def _extended(recipes: dict[str, Any], where: str, faults: list[Fault]) -> dict[str, Any]:
    """Return recipes with the keys of those that they extend; their own keys win."""
    done: dict[str, Any] = {}

    def whole(name: str, behind: tuple[str, ...]) -> Any:
        recipe = recipes[name]
        if name in done or not isinstance(recipe, dict) or "extends" not in recipe:
            return done.get(name, recipe)
        parent = recipe["extends"]
        if parent in (*behind, name):
            chain = " -> ".join([*behind, name, str(parent)])
            faults.append(Fault(f"{where}.{name}.extends", f"goes in a circle ({chain})"))
            return {k: v for k, v in recipe.items() if k != "extends"}
        if not isinstance(parent, str) or parent not in recipes:
            hint = did_you_mean(str(parent), [other for other in recipes if other != name])
            faults.append(Fault(f"{where}.{name}.extends", f"no recipe '{parent}'", "", hint))
            return {k: v for k, v in recipe.items() if k != "extends"}
        base = whole(parent, (*behind, name))
        return _laid_over(base, recipe) if isinstance(base, dict) else recipe

    for name in recipes:
        done[name] = whole(name, ())
    return done


def _laid_over(base: Mapping[str, Any], recipe: Mapping[str, Any]) -> dict[str, Any]:
    own = {key: value for key, value in recipe.items() if key != "extends"}
    kept = dict(base)
    for one, other in (("epochs", "max_steps"), ("max_steps", "epochs")):
        if own.get(one) is not None:
            kept.pop(other, None)
    merged = {**kept, **own}
    for key in ("settings", "factors"):
        if isinstance(base.get(key), dict) and isinstance(own.get(key), dict):
            merged[key] = {**base[key], **own[key]}
    return merged


def _grids(
    entries: dict[str, Any], where: str, registered: Registered, faults: list[Fault]
) -> dict[str, Any]:
    made: dict[str, Any] = {}
    made_by: dict[str, str] = {}
    for name, entry in entries.items():
        if not isinstance(entry, dict) or "for" not in entry:
            if name in made:
                faults.append(_made_twice(where, name, made_by[name], name))
            made[name], made_by[name] = entry, name
            continue
        place = f"{where}.{name}"
        found = _cells(entry["for"], f"{place}.for", registered, faults)
        cells = list(itertools.islice(found, _MOST + 1))
        if len(cells) > _MOST:
            faults.append(Fault(f"{place}.for", f"more than {_MOST:,} cells"))
            continue
        body = {key: value for key, value in entry.items() if key != "for"}
        for binding, factors in cells:
            cell_name = str(filled(name, binding, place, faults))
            if cell_name in made:
                faults.append(_made_twice(where, name, made_by[cell_name], cell_name))
                break
            made_by[cell_name] = name
            cell = filled(body, binding, place, faults)
            if where.endswith(":models"):  # the arms and recipes that name a model have factors
                made[cell_name] = cell
                continue
            given = cell.get("factors")
            own = given if isinstance(given, dict) else {}
            made[cell_name] = {**cell, "factors": with_format({**factors, **own})}
    return made


def _made_twice(where: str, entry: str, earlier: str, name: str) -> Fault:
    """Return the fault of a name that one entry makes twice, or that two entries make."""
    if entry == earlier:
        remedy = "name all axes in it, as in level-{level}, and each value once"
        return Fault(f"{where}.{entry}", f"several cells are called '{name}'", "", remedy)
    wrong = f"'{name}' is made by '{earlier}' as well: the two overlap"
    remedy = "leave the cell out of one, or give one another name"
    return Fault(f"{where}.{entry}", wrong, "", remedy)


def _cells(
    grid: Any, where: str, registered: Registered, faults: list[Fault]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each cell of a grid: what its holes are filled with, and its factors."""
    if isinstance(grid, list) and grid:
        for number, part in enumerate(grid):
            yield from _cells(part, f"{where}.{number}", registered, faults)
        return
    if not isinstance(grid, dict) or not grid:
        faults.append(Fault(where, "not a grid", "axes with their values, as {level: [1, 3, 6]}"))
        return
    axes: list[list[tuple[dict[str, Any], dict[str, Any]]]] = []
    for axis, values in grid.items():
        if axis == "datasets":
            axes.append(_dataset_axis(values, f"{where}.datasets", registered(), faults))
            continue
        if axis in RESERVED or not _HOLE.fullmatch(f"{{{axis}}}"):
            wrong = f"'{axis}' cannot name an axis"
            faults.append(Fault(where, wrong, "a word other than " + ", ".join(RESERVED)))
            continue
        found = values if isinstance(values, list) else [values]
        if not found or any(isinstance(one, dict | list) for one in found):
            faults.append(Fault(f"{where}.{axis}", "not values", "a list, as in [1, 3, 6]"))
            continue
        axes.append([({axis: one}, {axis: one}) for one in found])
    for cell in itertools.product(*axes):
        binding: dict[str, Any] = {}
        factors: dict[str, Any] = {}
        for bound, stated in cell:
            binding |= bound
            factors |= stated
        yield binding, factors


def _dataset_axis(
    when: Any, where: str, registered: Registrations, faults: list[Fault]
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the registered datasets whose own factors are asked for, each with its factors."""
    if not isinstance(when, dict):
        faults.append(Fault(where, "not factors", "as in {teacher: chatgpt, level: [1, 3]}"))
        return []
    known = {name: entry.factors for name, entry in registered.items() if entry.factors}
    names = sorted({factor for factors in known.values() for factor in factors})
    for factor in when:
        if factor not in names:
            hint = did_you_mean(str(factor), names)
            faults.append(Fault(where, f"no dataset has the factor '{factor}'", "", hint))
            return []
    found = [
        (dict.fromkeys(names) | factors | {"dataset": registered.regular_name(name)}, factors)
        for name, factors in known.items()
        if meets(when, factors)
    ]
    if not found:
        faults.append(
            Fault(where, "no registered dataset has these factors", "", _nearest(when, known))
        )
    return found


def _nearest(when: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the hint for factors that no dataset has together: a value that none has at all."""
    for factor, wanted in when.items():
        there = list(dict.fromkeys(of.get(factor) for of in known.values()))
        values = tuple(str(value) for value in there if value is not None)
        for value in values_of(wanted):
            if not any(meets({factor: value}, {factor: one}) for one in there):
                hint = format_meant if factor == "format" else did_you_mean
                return f"{factor} {value}: {hint(str(value), values)}"
    return ""


def filled(value: Any, binding: Mapping[str, Any], where: str, faults: list[Fault]) -> Any:
    """Return a value with its holes filled; a text that is one hole becomes the axis's value.

    >>> filled({"dataset": "math_{format}"}, {"format": "program"}, "s.yaml", [])
    {'dataset': 'math_program'}
    """
    if isinstance(value, str):
        whole = _HOLE.fullmatch(value)
        if whole and whole.group(1) in binding:
            return binding[whole.group(1)]
        for name in _HOLE.findall(value):
            if name not in binding:
                hint = did_you_mean(name, list(binding))
                fault = Fault(where, f"'{{{name}}}' is no axis of its for:", "", hint)
                faults += [fault] * (fault not in faults)
        return _HOLE.sub(lambda hole: str(binding.get(hole.group(1), hole.group())), value)
    if isinstance(value, dict):
        return {
            filled(key, binding, where, faults): filled(entry, binding, where, faults)
            for key, entry in value.items()
        }
    if isinstance(value, Sequence):
        return [filled(entry, binding, where, faults) for entry in value]
    return value


def _with_own_factors(arm: Any, registered: Registered) -> Any:
    """Add the factors that an arm states by what it is: those of its request or its dataset."""
    if not isinstance(arm, dict):
        return arm
    own: dict[str, Any] = {}
    if isinstance(arm.get("dataset"), str):
        entry = registered().get(arm["dataset"])
        own = entry.factors if entry else {}
    elif isinstance(arm.get("teach"), dict):
        own = _stated(arm["teach"], ("questions", "teacher", "level", "format"))
    elif isinstance(arm.get("sample"), dict):
        own = _stated(arm["sample"], ("questions", "model", "strategy"))
        own = {"teacher" if name == "model" else name: value for name, value in own.items()}
    elif isinstance(arm.get("puzzles"), str):
        own = _stated(arm, ("puzzles", "level"))
        own = {"questions" if name == "puzzles" else name: value for name, value in own.items()}
    elif isinstance(arm.get("answers"), str):
        own = {"questions": arm["answers"], "teacher": "none", "format": "answer-only"}
    given = arm.get("factors", {})
    if not isinstance(given, dict) or not (own or given):
        return arm
    return {**arm, "factors": with_format({**own, **given})}


def _stated(request: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {
        name: value
        for name in names
        if (value := request.get(name)) is not None and not isinstance(value, dict | list)
    }
