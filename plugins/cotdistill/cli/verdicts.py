"""Whose verdicts a verb reads: an option that several verbs share."""

from enum import StrEnum


class Verdicts(StrEnum):
    """Whose verdicts scores are made of."""

    RUN = "run"
    RESCORED = "rescored"
    JUDGED = "judged"
