"""The names that the YAML files beside this one call; everything is in the package."""

from cotdistill.benchmarks.hooks import METRICS, grade_responses, keep_all, load_questions
from cotdistill.benchmarks.puzzle_task import load_puzzles

__all__ = ["METRICS", "grade_responses", "keep_all", "load_puzzles", "load_questions"]
