"""Distil chain-of-thought reasoning into small models on stock LLaMA-Factory and lm-eval.

`from cotdistill import grade, grade_many, extract, equivalent`: the grader, loaded when asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cotdistill.grading.batch import Judged, grade_many
    from cotdistill.grading.equivalence.equivalent import Equivalence, equivalent
    from cotdistill.grading.extract.extract import Extraction, extract
    from cotdistill.grading.grade import Grade, grade

__version__ = "0.1.0"

__all__ = [
    "Equivalence",
    "Extraction",
    "Grade",
    "Judged",
    "equivalent",
    "extract",
    "grade",
    "grade_many",
]

_HOMES = {
    "Equivalence": "cotdistill.grading.equivalence.equivalent",
    "Extraction": "cotdistill.grading.extract.extract",
    "Grade": "cotdistill.grading.grade",
    "Judged": "cotdistill.grading.batch",
    "equivalent": "cotdistill.grading.equivalence.equivalent",
    "extract": "cotdistill.grading.extract.extract",
    "grade": "cotdistill.grading.grade",
    "grade_many": "cotdistill.grading.batch",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cotdistill' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
