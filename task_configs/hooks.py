"""The names that the YAML files beside this one call; everything is in the package."""

from cotdistill.hosts.lm_eval import METRICS, grade_responses, keep_all, load_questions

__all__ = ["METRICS", "grade_responses", "keep_all", "load_questions"]
