"""The names that the YAML files beside this one call; everything is in the package."""

from cotdistill.hosts.lm_eval import METRICS, grade_responses, keep_all, load_questions
from cotdistill.hosts.lm_eval_puzzles import load_puzzles

__all__ = ["METRICS", "grade_responses", "keep_all", "load_puzzles", "load_questions"]
