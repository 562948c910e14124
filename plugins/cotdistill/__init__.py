"""Distil chain-of-thought reasoning into small models on stock LLaMA-Factory and lm-eval.

The public functions, each loaded when it is first used:

    load_study, check, generate, run         a study, from its file to scores
    report, read_results, results_frame      what a run folder holds
    compare                                  paired tests between runs
    grade, grade_many, extract, equivalent   the grader

They stay as they are (docs/reference/api.md). Other modules are inner ones and may move, but for
`cotdistill.snakefile` and `cotdistill.task_hooks`, which generated files and task files name.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cotdistill.api import (
        check,
        compare,
        generate,
        load_study,
        read_results,
        report,
        results_frame,
        run,
    )
    from cotdistill.grading.batch import Judged, grade_many
    from cotdistill.grading.equivalence.equivalent import Equivalence, equivalent
    from cotdistill.grading.extract.extract import Extraction, extract
    from cotdistill.grading.grade import Grade, grade

__version__ = "0.2.0"

__all__ = [
    "Equivalence",
    "Extraction",
    "Grade",
    "Judged",
    "check",
    "compare",
    "equivalent",
    "extract",
    "generate",
    "grade",
    "grade_many",
    "load_study",
    "read_results",
    "report",
    "results_frame",
    "run",
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
    if name not in __all__:
        raise AttributeError(f"module 'cotdistill' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES.get(name, "cotdistill.api")), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
