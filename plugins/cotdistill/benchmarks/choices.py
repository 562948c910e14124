r"""A question with its answer choices in one text, as a model is asked.

Benchmarks keep question and choices apart, and tasks write both. Training files have them in one
text, each in a form of its own ("Answer choices: A: hot, B: cold", "(A) hot (B) cold"). Rows,
samples and development questions are written here, in the form in which the packaged tasks ask.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from cotdistill.benchmarks.question import options_of, question_key
from cotdistill.benchmarks.readings import stem_and_choices

Form = Literal["lines", "row"]
"""How choices are written: a line each, or behind each other where programs are asked for."""


def with_choices(question: str, options: Mapping[str, Any] | None, form: Form = "lines") -> str:
    r"""Return a question followed by its choices, or as it is where its text has them.

    >>> with_choices("What is cold?", {"A": "ice", "B": "fire"})
    'What is cold?\n\nAnswer choices:\nA. ice\nB. fire'
    >>> with_choices("What is cold?", {"A": "ice", "B": "fire"}, "row")
    'What is cold?\nAnswer Choices: (A) ice (B) fire'
    >>> with_choices("What is cold? (A) ice (B) fire", {"A": "ice", "B": "fire"})
    'What is cold? (A) ice (B) fire'
    """
    choices = options_of(options)
    if choices is None or has_choices(question, choices):
        return question
    return _written(question, choices, form)


def as_tasks_ask(question: str, options: Mapping[str, Any] | None, form: Form = "lines") -> str:
    r"""Return a question with its choices as the packaged tasks write them, whatever the source.

    >>> as_tasks_ask("Q: What is cold? Answer choices: A: ice, B: fire", None)
    'What is cold?\n\nAnswer choices:\nA. ice\nB. fire'
    >>> as_tasks_ask("Is ice cold?", None)
    'Is ice cold?'
    """
    stem, choices = apart(question, options)
    return _written(stem, choices, form) if choices else with_choices(question, options, form)


def apart(
    question: str, options: Mapping[str, Any] | None = None
) -> tuple[str, dict[str, str] | None]:
    """Return a question without the choices that its text lists behind a heading, and these.

    >>> apart("Q: What is cold? Answer choices: A: ice, B: fire")
    ('What is cold?', {'A': 'ice', 'B': 'fire'})
    >>> apart("What is cold?", {"A": "ice", "B": "fire"}), apart("Is ice cold?")
    (('What is cold?', {'A': 'ice', 'B': 'fire'}), ('Is ice cold?', None))
    """
    if "choices" not in question.lower():  # most questions; the pattern takes longer
        return question, options_of(options)
    try:
        return stem_and_choices(question)
    except ValueError:
        return question, options_of(options)


def has_choices(question: str, options: Mapping[str, str]) -> bool:
    """Whether the text of a question lists its choices, each behind its letter.

    >>> has_choices("Ann has a cup, Bob a key. Who has the cup?", {"A": "Ann", "B": "Bob"})
    False
    >>> has_choices("Who has the cup? a) Ann b) Bob", {"A": "Ann", "B": "Bob"})
    True
    """
    return bool(options) and all(
        re.search(rf"(?<!\w)\(?{letter}\s?[).:]\s*{re.escape(text)}", question, re.IGNORECASE)
        for letter, text in options.items()
    )


def words_key(question: str, options: Mapping[str, Any] | None = None) -> str:
    """Return the key (`question_key`, by its words) of a question with its choices.

    It is the same wherever and in whatever form the choices stand.

    >>> inline = words_key("Q: What is cold? Answer choices: (A) ice, (B) fire.")
    >>> inline == words_key("What is cold?", {"A": "ice", "B": "fire"})
    True
    >>> inline == words_key("What is cold?", {"A": "ice", "B": "snow"})
    False
    """
    return question_key(with_choices(question, options), "words")


def record_key(row: Mapping[str, Any]) -> str:
    """Return the `words_key` of a record with the keys `question` and, if it has any, `options`.

    >>> record_key({"question": "Is ice cold?"}) == words_key("Is ice cold?")
    True
    """
    return words_key(row["question"], row.get("options"))


def _written(question: str, options: Mapping[str, str], form: Form) -> str:
    if form == "row":
        return question + "\nAnswer Choices:" + "".join(f" ({a}) {b}" for a, b in options.items())
    return question + "\n\nAnswer choices:" + "".join(f"\n{a}. {b}" for a, b in options.items())
