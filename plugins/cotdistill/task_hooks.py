"""The functions that lm-eval task files call; their names stay, so users' tasks keep working."""

from cotdistill.benchmarks.hooks import (
    METRICS,
    grade_final_answers,
    grade_responses,
    keep_all,
    load_questions,
)
from cotdistill.benchmarks.program_task import (
    PROGRAM_METRICS,
    grade_programs,
    load_program_questions,
)
from cotdistill.benchmarks.puzzle_task import load_puzzles

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
