"""Find a study by name or path, apply `--set key=value`, and check it."""

from __future__ import annotations

import contextlib
import copy
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cotdistill.errors import Fault, FaultsError, StudyError, did_you_mean
from cotdistill.files.bundle import (
    bundle_around,
    bundle_fault,
    bundle_files,
    bundle_folder,
    bundles,
    by_name,
    only_bundles,
)
from cotdistill.files.yamls import parse_yaml, read_yaml
from cotdistill.studies.lines import with_lines
from cotdistill.studies.study import Study, read_study
from cotdistill.studies.upgrade import is_old


def shipped_studies() -> dict[str, Path]:
    """Return the studies of all bundles by name.

    Raises:
        BundleError: two bundles have a study of one name.

    >>> "quickstart" in shipped_studies()
    True
    """
    return by_name("the study", ((p.stem, p) for p in bundle_files("studies", "*.yaml")))


def load_study(name_or_path: str, settings: Sequence[str] = ()) -> tuple[Study, str]:
    """Return a checked study and the place that its faults name.

    Paths in a study file are relative to that file; in our own studies and in `--set` they are
    relative to the current folder. Its `bundles` are the folder that the file is in, if that is a
    bundle, those that it names, and all that are looked up now.

    Raises:
        StudyError: no such study, or it has faults.
        FaultsError: the file is not YAML, or a setting is not `key=value`.
    """
    path = _find(name_or_path)
    packaged = path.parent == bundle_folder("studies")
    place = str(path) if not packaged else f"studies/{path.name}"
    value = read_yaml(path)
    if isinstance(value, dict):
        _make_absolute(value, Path.cwd() if packaged else path.resolve().parent)
        value = with_settings(value, settings)
        _make_absolute(value, Path.cwd())
        _add_bundles(value, path, place)
        with only_bundles(_roots(value)), faults_with_lines(path, place):
            return read_study(value, place), place
    return read_study(value, place), place


@contextlib.contextmanager
def faults_with_lines(path: Path, place: str) -> Iterator[None]:
    """Let the faults of a study that are found inside say the lines of its file."""
    try:
        yield
    except FaultsError as error:
        raise type(error)(with_lines(error.faults, path, place)) from error


def file_of(name_or_path: str) -> Path:
    """Return the file of a study by its name or path.

    Raises:
        StudyError: there is no such study.
    """
    return _find(name_or_path)


def version_note(name_or_path: str) -> str:
    """Return a line on the form of a study file if it is of version 1, else an empty text."""
    path = _find(name_or_path)
    if not is_old(read_yaml(path)):
        return ""
    return f"{name_or_path}: of version 1, read as version 2; `cotdistill migrate` writes it"


def _roots(value: dict[str, Any]) -> list[str]:
    roots = value.get("bundles")
    return [root for root in roots if isinstance(root, str)] if isinstance(roots, list) else []


def study_of(folder: Path) -> Study:
    """Return the resolved study of a run folder.

    Raises:
        StudyError: the folder holds none.
    """
    path = folder / "study.yaml"
    if not path.is_file():
        raise StudyError(
            Fault(
                str(folder),
                "not a run folder (it has no study.yaml)",
                "",
                f"make one: cotdistill generate STUDY -o {folder}",
            )
        )
    return read_study(read_yaml(path), str(path))


def study_if_any(folder: Path) -> Study | None:
    """Return the resolved study of a run folder, None where it holds none.

    Raises:
        StudyError: what it holds is not a study.
    """
    return study_of(folder) if (folder / "study.yaml").is_file() else None


def with_settings(value: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """Return a study's mapping with `key.key=value` settings applied; values are read as YAML.

    A name that has dots is put in quotes or brackets, as `models."Qwen2.5-7B".revision=main`; one
    that the study has is found without them.

    >>> with_settings({"seeds": [1], "hardware": {"gpus": 1}}, ["hardware.gpus=4", "seeds=[1, 2]"])
    {'seeds': [1, 2], 'hardware': {'gpus': 4}}
    """
    changed = copy.deepcopy(value)
    for setting in settings:
        key, text = _key_and_text(setting)
        place: Any = changed
        left = _parts_of(key, setting)
        gone: list[str] = []
        while True:
            name, left = _next_name(place, left)
            gone.append(name)
            if not left:
                break
            place = _step_into(place, name, f"--set {'.'.join(gone)}")
        _assign(place, name, parse_yaml(text, f"--set {key}"), f"--set {key}")
    return changed


_PART = re.compile(r"""\.?(?:"([^"]+)"|'([^']+)'|\[([^\]]+)\]|([^.\["']+))""")
_KEY = re.compile(r"""((?:"[^"]*"|'[^']*'|\[[^\]]*\]|[^="'\[])+)=(.*)\Z""", re.DOTALL)


def _key_and_text(setting: str) -> tuple[str, str]:
    """Return both sides of the `=` that is outside quotes and brackets."""
    found = _KEY.match(setting)
    if found is None:
        expected = "key=value, such as hardware.gpus=4"
        raise FaultsError(Fault(f"--set {setting}", "not a setting", expected))
    return found.group(1), found.group(2)


def _parts_of(key: str, setting: str) -> list[tuple[str, bool]]:
    """Return the names of a key, and of each whether it stood in quotes or brackets.

    >>> _parts_of("models.'Qwen2.5-7B'[context]", "")
    [('models', False), ('Qwen2.5-7B', True), ('context', True)]
    """
    parts: list[tuple[str, bool]] = []
    end = 0
    while end < len(key):
        found = _PART.match(key, end)
        if found is None or (found.start() and key[found.start()] not in ".["):
            wrong = f"the key cannot be read from '{key[end:]}' on"
            expected = "names with dots between them; those that have dots in quotes"
            raise FaultsError(Fault(f"--set {setting}", wrong, expected))
        quoted = found.group(1) or found.group(2) or found.group(3)
        parts.append((quoted.strip("\"'"), True) if quoted else (found.group(4), False))
        end = found.end()
    return parts


def _next_name(place: Any, parts: list[tuple[str, bool]]) -> tuple[str, list[tuple[str, bool]]]:
    """Return the name that comes next, and what is left: the longest one that is there.

    Where none is there it is the first part.
    """
    plain = list(itertools.takewhile(lambda part: not part[1], parts))
    for taken in range(len(plain), 1, -1):
        name = ".".join(part for part, _ in plain[:taken])
        if isinstance(place, dict) and name in place:
            return name, parts[taken:]
    return parts[0][0], parts[1:]


def _step_into(place: Any, key: str, where: str) -> Any:
    if isinstance(place, list):
        if key.isdigit() and int(key) < len(place):
            return place[int(key)]
        raise FaultsError(Fault(where, "no such entry", f"a number below {len(place)}"))
    if not isinstance(place, dict):
        raise FaultsError(Fault(where, "is inside a plain value, not a mapping"))
    if place.get(key) is None and where in (f"--set arms.{key}", f"--set recipes.{key}"):
        wrong = f"no {where.split()[1].split('s.')[0]} '{key}'"
        remedy = f"a new one is given whole, as in {where}='{{...}}'"
        raise FaultsError(Fault(where, f"{wrong}; {did_you_mean(key, list(place))}", "", remedy))
    if place.get(key) is None:
        place[key] = {}
    return place[key]


def _assign(place: Any, key: str, value: Any, where: str) -> None:
    if isinstance(place, list) and key.isdigit() and int(key) < len(place):
        place[int(key)] = value
    elif isinstance(place, dict):
        place[key] = value
    else:
        raise FaultsError(Fault(where, "is not a key of a mapping"))


def _find(name_or_path: str) -> Path:
    shipped = shipped_studies()
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml") or "/" in name_or_path:
        if path.is_file():
            return path
        raise StudyError(Fault(name_or_path, "no such file", "a study file"))
    if name_or_path in shipped:
        return shipped[name_or_path]
    raise StudyError(
        Fault(name_or_path, "no such study", "", did_you_mean(name_or_path, list(shipped)))
    )


def _add_bundles(value: dict[str, Any], path: Path, place: str) -> None:
    """Write down in place which bundles a study sees, so that its runs see the same ones.

    Raises:
        StudyError: it names a folder that is no bundle.
    """
    named = value.get("bundles") or []
    if not isinstance(named, list) or not all(isinstance(root, str) for root in named):
        return  # the shape of a study says what is wrong
    if faults := [f for root in named if (f := bundle_fault(Path(root), f"{place}:bundles"))]:
        raise StudyError(faults)
    own = bundle_around(path)
    around = [bundle.root for bundle in bundles() if bundle.origin]
    roots = [*([own] if own else []), *(Path(root).resolve() for root in named), *around]
    value["bundles"] = list(dict.fromkeys(map(str, roots)))


def _make_absolute(value: dict[str, Any], base: Path) -> None:
    """Make the paths of a study absolute in place; what is not a path stays as it is."""
    arms = value.get("arms")
    for arm in arms.values() if isinstance(arms, dict) else ():
        if isinstance(arm, dict):
            for key in ("file", "folder"):
                _absolute_at(arm, key, base)
            filters = arm.get("filter")
            if isinstance(filters, dict) and isinstance(filters.get("golds"), list):
                filters["golds"] = [_absolute(path, base) for path in filters["golds"]]
            for block in (filters, arm.get("pad")):
                if isinstance(block, dict):
                    _absolute_at(block, "tokenizer", base)
    _absolute_at(value, "data_folder", base)
    if isinstance(value.get("bundles"), list):
        value["bundles"] = [_absolute(root, base) for root in value["bundles"]]
    students, models = value.get("students"), value.get("models")
    for student in students if isinstance(students, list) else ():
        _absolute_model(student, base)
    if isinstance(models, dict):
        for name, model in models.items():
            if isinstance(model, str) and _is_path(model, base):
                models[name] = _absolute(model, base)
            _absolute_model(model, base)
            if isinstance(model, dict) and "merge" in model:
                _absolute_parts(model, base, models)
    recipes = value.get("recipes")
    for recipe in recipes.values() if isinstance(recipes, dict) else ():
        kd = recipe.get("kd") if isinstance(recipe, dict) else None
        if isinstance(kd, dict) and isinstance(kd.get("teacher"), dict):
            _absolute_at(kd["teacher"], "signals", base)
            _absolute_model(kd["teacher"], base)
    questions = value.get("questions")
    for entry in questions.values() if isinstance(questions, dict) else ():
        if isinstance(entry, dict):
            _absolute_at(entry, "file", base)
    evaluation = value.get("evaluation")
    if isinstance(evaluation, dict) and isinstance(evaluation.get("include_path"), list):
        folders = evaluation["include_path"]
        evaluation["include_path"] = [_absolute(folder, base) for folder in folders]


def _absolute_model(model: Any, base: Path) -> None:
    if isinstance(model, dict):
        _absolute_at(model, "folder", base)
        if isinstance(model.get("model"), str) and _is_path(model["model"], base):
            _absolute_at(model, "model", base)


def _absolute_parts(merge: dict[str, Any], base: Path, named: dict[str, Any]) -> None:
    """Make the paths of a merge absolute; a name of `models:` is never one."""

    def place(model: Any) -> Any:
        is_path = isinstance(model, str) and model not in named and _is_path(model, base)
        return _absolute(model, base) if is_path else model

    for key in ("base", "donor"):
        if key in merge:
            merge[key] = place(merge[key])
    if isinstance(merge.get("models"), dict):
        merge["models"] = {place(model): share for model, share in merge["models"].items()}


def _is_path(model: str, base: Path) -> bool:
    return model.startswith(("./", "../", "~")) or (base / model).is_dir()


def _absolute(path: Any, base: Path) -> Any:
    return str(base / Path(path).expanduser()) if isinstance(path, str) else path


def _absolute_at(mapping: dict[str, Any], key: str, base: Path) -> None:
    if isinstance(mapping.get(key), str) and mapping[key]:
        mapping[key] = _absolute(mapping[key], base)
