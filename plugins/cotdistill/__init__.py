"""Distil chain-of-thought reasoning into small models on stock LLaMA-Factory and lm-eval.

`from cotdistill import grade, grade_many, extract, equivalent`: the grader, loaded when asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cotdistill.reason.answer import Extraction, extract
    from cotdistill.reason.equal import Equivalence, equivalent
    from cotdistill.reason.grade import Grade, grade
    from cotdistill.reason.grade_many import Judged, grade_many

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
    "Equivalence": "cotdistill.reason.equal",
    "Extraction": "cotdistill.reason.answer",
    "Grade": "cotdistill.reason.grade",
    "Judged": "cotdistill.reason.grade_many",
    "equivalent": "cotdistill.reason.equal",
    "extract": "cotdistill.reason.answer",
    "grade": "cotdistill.reason.grade",
    "grade_many": "cotdistill.reason.grade_many",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cotdistill' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
