"""Copies of the packaged files that a run folder uses, so that an upgrade does not change its runs.

`packaged/` holds the task files with what they include, the templates that training and evaluation
files were made from, and the instructions; `packaged/kept.json` their hashes and the version that
they came with. Our own tasks are asked from there. Tasks of other bundles are asked where they lie,
because they may read files next to them; their copies only show what has changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotdistill import __version__
from cotdistill.benchmarks.choices import record_key
from cotdistill.errors import Fault
from cotdistill.files.atomic import sha256_of_text, write_if_changed, write_texts_if_changed
from cotdistill.files.bundle import bundle_file, bundle_folder, bundle_folders, origin_of
from cotdistill.files.json_file import read_object
from cotdistill.files.jsonl import row_line
from cotdistill.files.yamls import dump_yaml, read_yaml
from cotdistill.hosts.lm_eval.task_files import KEPT, file_key, packaged_tasks
from cotdistill.studies.question_sets import QuestionSet, dev_document
from cotdistill.studies.study import Study

FOLDER = "packaged"
TASKS = f"{FOLDER}/task_configs"


@dataclass(frozen=True)
class KeptFiles:
    """The packaged files that a study uses: their texts by place under `packaged/`, and of tasks.

    `of_task` holds the places of the files behind each task that a study names, `asked` a hash of
    the questions of those that ask a study's own development questions.
    """

    texts: Mapping[str, str]
    of_task: Mapping[str, tuple[str, ...]]
    asked: Mapping[str, str] = field(default_factory=dict)

    def digest(self, tasks: Sequence[str]) -> str:
        """Return a hash of the files behind some tasks."""
        places = sorted({place for task in tasks for place in self.of_task.get(task, ())})
        hashes = [(place, sha256_of_text(self.texts[place])) for place in places]
        hashes += [(task, self.asked[task]) for task in sorted(tasks) if task in self.asked]
        return sha256_of_text(json.dumps(hashes))


def kept_files(study: Study, sets: Mapping[str, QuestionSet]) -> KeptFiles:
    """Return the packaged files that a study uses."""
    texts: dict[str, str] = {}
    of_task: dict[str, tuple[str, ...]] = {}
    known = packaged_tasks()
    asked = {}
    for task in study.task_names():
        places = []
        base = task
        if (dev := dev_set(task, sets)) is not None:
            base = base_task(dev)
            keys = {record_key(row) for row in dev.dev}
            asked[task] = sha256_of_text(" ".join(sorted(keys)))
        for path in dict.fromkeys(_files_behind(base, known)):
            place = _place(path)
            texts[place] = path.read_text(encoding="utf-8", errors="replace")
            places.append(place)
        of_task[task] = tuple(places)
    hooks = bundle_folder("task_configs") / "hooks.py"
    texts["task_configs/hooks.py"] = hooks.read_text(encoding="utf-8")
    for name in _templates(study):
        texts[f"templates/{name}"] = bundle_file("templates", name).read_text(encoding="utf-8")
    return KeptFiles(dict(sorted(texts.items())), of_task, asked)


def unprepared_dev_faults(study: Study, sets: Mapping[str, QuestionSet]) -> list[Fault]:
    """Return why development questions that a study asks are not here."""
    asked = [dev_set(task, sets) for task in study.task_names()]
    return [dev.not_here for dev in asked if dev is not None and not dev.is_here]


def dev_set(task: str, sets: Mapping[str, QuestionSet]) -> QuestionSet | None:
    """Return the question set whose development questions a task asks, None for another task."""
    found = sets.get(task.removeprefix("dev_")) if task.startswith("dev_") else None
    return found if found and found.declared.dev else None


def base_task(dev: QuestionSet) -> str:
    """Return the task with whose settings a set's development questions are asked."""
    return dev.declared.task or f"cot_{dev.declared.benchmark or 'gsm8k'}"


def write_dev_tasks(root: Path, study: Study, sets: Mapping[str, QuestionSet]) -> None:
    """Write the development questions of a study and the tasks that ask them."""
    for task in study.task_names():
        if (dev := dev_set(task, sets)) is None:
            continue
        questions = root / "data" / "dev" / f"{dev.name}.jsonl"
        text = "".join(row_line(dev_document(row, _DOCUMENT)) for row in dev.dev)
        write_if_changed(questions, text)
        config = {
            "include": Path(_place(packaged_tasks()[base_task(dev)])).name,
            "task": task,
            "dataset_kwargs": {"questions_file": str(questions)},
        }
        write_if_changed(root / TASKS / f"{task}.yaml", dump_yaml(config))


_DOCUMENT = ("id", "dataset", "split", "question", "gold", "kind", "options", "rationale", "meta")


def task_folders() -> list[Path]:
    """Return the folders of other bundles' tasks, which are asked where they lie."""
    own = bundle_folder("task_configs")
    return [folder for folder in bundle_folders("task_configs") if folder != own]


def changed_since(root: Path, now: KeptFiles) -> list[str]:
    """Return a line for each packaged file that is not what a run folder was generated with."""
    path = root / FOLDER / KEPT
    if not path.is_file():
        return []
    before = read_object(path, "what `generate` wrote", "generate the folder again")
    files = before.get("files")
    version = before.get("cotdistill", "an older version")
    hashes = {place: sha256_of_text(text) for place, text in now.texts.items()}
    if not isinstance(files, dict) or files == hashes:
        return []
    changed = [place for place, digest in hashes.items() if files.get(place, digest) != digest]
    came = f"cotdistill {version} -> {__version__}"
    return [f"{place} is not what the folder was generated with ({came})" for place in changed]


def write_kept(root: Path, kept: KeptFiles) -> None:
    """Write the copies into a run folder, and last what they are."""
    folders: dict[Path, dict[str, str]] = {}
    for place, text in kept.texts.items():
        path = root / FOLDER / place
        folders.setdefault(path.parent, {})[path.name] = text
    for folder, texts in folders.items():
        write_texts_if_changed(folder, texts)
    hashes = {place: sha256_of_text(text) for place, text in kept.texts.items()}
    described: dict[str, Any] = {"cotdistill": __version__, "files": hashes}
    write_if_changed(root / FOLDER / KEPT, json.dumps(described, indent=1) + "\n")


def altered_copies(root: Path) -> Iterator[str]:
    """Yield the copies in a run folder that are gone or were edited."""
    path = root / FOLDER / KEPT
    files = read_object(path, "what `generate` wrote", "").get("files") if path.is_file() else {}
    for place, digest in files.items() if isinstance(files, dict) else ():
        copy = root / FOLDER / str(place)
        if not copy.is_file() or sha256_of_text(copy.read_text(encoding="utf-8")) != digest:
            yield f"{FOLDER}/{place}"


def _place(path: Path) -> str:
    """Return where the copy of a task file lies: below task_configs if it is ours."""
    for folder in bundle_folders("task_configs"):
        if path.is_relative_to(folder):
            origin = origin_of(path)
            name = "task_configs" if not origin else f"other/{Path(origin).name}/task_configs"
            return f"{name}/{path.relative_to(folder)}"
    return f"other/{path.name}"


def _files_behind(task: str, known: Mapping[str, Path]) -> Iterator[Path]:
    """Yield the files of a task or group: its own, those of its members, what they include."""
    if task not in known:
        return
    waiting, seen = [task], set[str]()
    while waiting:
        name = waiting.pop(0)
        if name in seen or name not in known:
            continue
        seen.add(name)
        yield from _with_includes(known[name])
        if file_key(known[name], "group") == name:
            members = file_key(known[name], "task") or []
            waiting += [one for one in members if isinstance(one, str)]


def _with_includes(path: Path) -> Iterator[Path]:
    yield path
    config = read_yaml(path, functions=True)
    included = config.get("include") if isinstance(config, dict) else None
    names: Sequence[Any] = [included] if isinstance(included, str) else included or []
    for name in names:
        yield from _with_includes((path.parent / str(name)).resolve())


def _templates(study: Study) -> list[str]:
    """Return the templates that a study's files are made from."""
    names: dict[str, None] = {}
    for recipe in study.recipes.values():
        names[f"train/{recipe.template}.yaml.j2"] = None
    names["train/_data_and_schedule.j2"] = None
    names[f"eval/{study.evaluation.backend}.yaml.j2"] = None
    if any("lora" in recipe.template for recipe in study.recipes.values()):
        names["export/lora.yaml.j2"] = None
    if study.judge:
        names[f"prompts/{study.judge.prompt}.j2"] = None
    return list(names)
