"""The packaged catalogues: students, and registered datasets; each file is read once."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from cotdistill.catalogue.lookup import named_entries
from cotdistill.catalogue.registration import Registration
from cotdistill.catalogue.student import Student
from cotdistill.errors import Fault, FaultsError
from cotdistill.files.bundle import bundle_folder
from cotdistill.files.yamls import read_yaml

HUB_DATASETS = "dataset_info.json"
CELLS = "cot_factors.json"
MADE_BY_USERS = "micota.json"
ALIASES = "aliases.json"


class Registrations(Mapping[str, Registration]):
    """Registrations by name; a regular name (`aqua_gemini_level1`) finds the legacy one as well.

    CoT-factors misspells some names and writes one data set in several ways. The legacy names
    are those that are listed.
    """

    def __init__(self, entries: Mapping[str, Registration], aliases: Mapping[str, str]) -> None:
        self._entries, self._aliases = entries, aliases

    def __getitem__(self, name: str) -> Registration:
        return self._entries[self._aliases.get(name, name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def students() -> dict[str, Student]:
    """Return the packaged students by name, in the order of `templates/students.yaml`.

    Raises:
        FaultsError: the packaged file is missing or broken.

    >>> students()["bloom-560m"].template
    'alpaca'
    """
    return dict(_students())


def datasets() -> Registrations:
    """Return the packaged registrations by name: hub datasets, then files that users have.

    The CoT-factors cells and MiCoTA's rationales are such files; their `file_name` is relative to
    the user's data folder.

    Raises:
        FaultsError: a packaged file is missing or broken.

    >>> datasets()["gsm8k"].hf_hub_url
    'openai/gsm8k'
    >>> datasets()["auqa_ChatGPT_level3"].file_name
    'aqua_chatgpt_level3_ranked.json'
    >>> datasets()["aqua_chatgpt_level3"].name
    'auqa_ChatGPT_level3'
    """
    aliases = json.loads((bundle_folder("dataset_info") / ALIASES).read_text(encoding="utf-8"))
    return Registrations(_datasets(), aliases)


@functools.cache
def _students() -> Mapping[str, Student]:
    path = bundle_folder("templates") / "students.yaml"
    return named_entries(Student, read_yaml(path), str(path))


@functools.cache
def _datasets() -> Mapping[str, Registration]:
    folder = bundle_folder("dataset_info")
    found: dict[str, Registration] = {}
    for name in (HUB_DATASETS, CELLS, MADE_BY_USERS):
        found |= read_registrations(folder / name)
    return found


def read_registrations(path: Path) -> dict[str, Registration]:
    """Return the registrations of one `dataset_info.json`.

    Raises:
        FaultsError: the file is missing, not JSON, or has entries that would be misread.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FaultsError(Fault(str(path), f"cannot be read ({error.strerror})")) from error
    except ValueError as error:
        raise FaultsError(Fault(str(path), f"not JSON ({error})")) from error
    return named_entries(Registration, entries, str(path))
