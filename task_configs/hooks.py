"""The functions that the YAML files in this folder call; a folder of your own needs no such file.

`!function cotdistill.task_hooks.grade_responses` works in any task file.
"""

from cotdistill.task_hooks import (
    METRICS,
    PROGRAM_METRICS,
    grade_final_answers,
    grade_programs,
    grade_responses,
    keep_all,
    load_program_questions,
    load_puzzles,
    load_questions,
)

__all__ = [
    "METRICS",
    "PROGRAM_METRICS",
    "grade_final_answers",
    "grade_programs",
    "grade_responses",
    "keep_all",
    "load_program_questions",
    "load_puzzles",
    "load_questions",
]
