"""Where the files of a loop's rounds lie in a run folder, by the name of the round.

Every job starts with this, so it loads nothing.
"""

from __future__ import annotations

FOLDER = "rounds"


def record_of(name: str) -> str:
    """Return where the record of a round, or of a whole loop, lies in the run folder.

    >>> record_of("tiny--improve-uniform--full--s1--round2")
    'rounds/tiny--improve-uniform--full--s1--round2.json'
    """
    return f"{FOLDER}/{name}.json"


def filter_record_of(name: str) -> str:
    """Return where the record of what a round's filter kept lies."""
    return f"{FOLDER}/{name}.filter.json"


def likelihood_record_of(name: str) -> str:
    """Return where the record of how likely a round's rows are to their writer lies."""
    return f"{FOLDER}/{name}.likelihood.json"


def rows_of(name: str) -> str:
    """Return where the training rows of a round lie."""
    return f"data/{FOLDER}/{name}.jsonl"


def samples_of(name: str) -> str:
    """Return the folder of what a round sampled."""
    return f"data/sample/{name}"


def signals_of(name: str) -> str:
    """Return where the stored signals of a teacher for a round's rows lie."""
    return f"signals/{name}"
