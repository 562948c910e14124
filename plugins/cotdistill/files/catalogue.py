"""The packaged catalogues: students, and registered datasets."""

from __future__ import annotations

from cotdistill.declare.catalogue import named_entries
from cotdistill.declare.student import Student
from cotdistill.files.bundle import bundle_folder
from cotdistill.files.yamls import read_yaml


def students() -> dict[str, Student]:
    """Return the packaged students by name, in the order of `templates/students.yaml`.

    Raises:
        FaultsError: the packaged file is missing or broken.

    >>> students()["bloom-560m"].template
    'alpaca'
    """
    path = bundle_folder("templates") / "students.yaml"
    return named_entries(Student, read_yaml(path), str(path))
