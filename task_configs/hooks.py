"""The names that the YAML files beside this one call; everything is in the package."""

from cotdistill.hosts.lm_eval import (
    grade_responses,
    keep_all,
    load_questions,
    share_answered,
)

__all__ = ["grade_responses", "keep_all", "load_questions", "share_answered"]
