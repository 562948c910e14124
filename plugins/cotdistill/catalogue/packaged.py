"""The catalogues of all bundles: students and registered datasets; each file is read once.

Students are in `templates/students.yaml`; registrations in `dataset_info/*.json`, as LLaMA-Factory
reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from cotdistill.catalogue.lookup import named_entries
from cotdistill.catalogue.registration import Registration
from cotdistill.catalogue.student import Student
from cotdistill.files.bundle import bundle_files, bundle_folder, by_name
from cotdistill.files.json_file import read_json, read_object
from cotdistill.files.reread import read_when_changed
from cotdistill.files.yamls import read_yaml

HUB_DATASETS = "dataset_info.json"
CELLS = "cot_factors.json"
ALIASES = "aliases.json"


class Registrations(Mapping[str, Registration]):
    """Registrations by name; a regular name (`aqua_gemini_level1`) finds the legacy one as well.

    CoT-factors misspells some names and writes one data set in several ways. The legacy names
    are those that are listed.
    """

    def __init__(self, entries: Mapping[str, Registration], aliases: Mapping[str, str]) -> None:
        self._entries, self._aliases = entries, aliases
        self._regular = {legacy: regular for regular, legacy in aliases.items()}

    def regular_name(self, name: str) -> str:
        """Return the regular name of a dataset, its own where it has no other."""
        return self._regular.get(name, name)

    def __getitem__(self, name: str) -> Registration:
        return self._entries[self._aliases.get(name, name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def students() -> dict[str, Student]:
    """Return the students of all bundles by name, in the order of their files.

    Raises:
        FaultsError: a file is broken, or two bundles have a student of one name.

    >>> students()["bloom-560m"].template
    'alpaca'
    """
    return {name: _read_students(path)[name] for name, path in student_files().items()}


def datasets() -> Registrations:
    """Return the registrations of all bundles by name.

    A `file_name` is relative to the folder of its `dataset_info.json` if the file is there, as
    LLaMA-Factory has it, and else to the user's data folder: ours are the papers' files, which
    users have.

    Raises:
        FaultsError: a file is broken, or two bundles have a dataset of one name.

    >>> datasets()["gsm8k"].hf_hub_url
    'openai/gsm8k'
    >>> datasets()["auqa_ChatGPT_level3"].file_name
    'aqua_chatgpt_level3_ranked.json'
    >>> datasets()["aqua_chatgpt_level3"].name
    'auqa_ChatGPT_level3'
    """
    entries = {name: read_registrations(path)[name] for name, path in dataset_files().items()}
    return Registrations(entries, _read_aliases(bundle_folder("dataset_info") / ALIASES))


def student_files() -> dict[str, Path]:
    """Return the file that declares each student.

    Raises:
        FaultsError: a file is broken, or two bundles have a student of one name.
    """
    files = bundle_files("templates", "students.yaml")
    declared = [(name, path) for path in files for name in _read_students(path)]
    by_name("the student", ((name.lower(), path) for name, path in declared))
    return dict(declared)


def dataset_files() -> dict[str, Path]:
    """Return the file that registers each dataset; in each bundle `dataset_info.json` comes first.

    Raises:
        FaultsError: a file is broken, or two bundles have a dataset of one name.
    """
    files = [path for path in bundle_files("dataset_info", "*.json") if path.name != ALIASES]
    folders = list(dict.fromkeys(path.parent for path in files))
    files.sort(key=lambda p: (folders.index(p.parent), p.name != HUB_DATASETS, p.name))
    declared = [(name, path) for path in files for name in read_registrations(path)]
    aliases = bundle_folder("dataset_info") / ALIASES
    by_name("the dataset", [*((alias, aliases) for alias in _read_aliases(aliases)), *declared])
    return dict(declared)


@read_when_changed
def read_registrations(path: Path) -> dict[str, Registration]:
    """Return the registrations of one file in the shape of `dataset_info.json`.

    Raises:
        FaultsError: the file is missing, not JSON, or has entries that would be misread.
    """
    entries = named_entries(Registration, read_json(path), str(path))
    return {name: _with_its_file(entry, path.parent) for name, entry in entries.items()}


@read_when_changed
def _read_students(path: Path) -> dict[str, Student]:
    return named_entries(Student, read_yaml(path), str(path))


@read_when_changed
def _read_aliases(path: Path) -> dict[str, str]:
    return dict(read_object(path))


def _with_its_file(entry: Registration, folder: Path) -> Registration:
    """Make the path of a file absolute where it is next to its registration."""
    if entry.file_name is None or not (folder / entry.file_name).is_file():
        return entry
    return entry.model_copy(update={"file_name": str(folder / entry.file_name)})
