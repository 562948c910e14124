"""Where in a text its answer stands."""

from __future__ import annotations

from collections.abc import Mapping

from cotdistill.grading.extract.extract import extract
from cotdistill.grading.kinds import Kind

Span = tuple[int, int]


def answer_span(
    text: str, kind: Kind = "auto", options: Mapping[str, str] | None = None
) -> Span | None:
    r"""Return the first and the last-but-one character of the answer that a rationale states.

    None where none is stated, or where it is stated by other words than its own: an option's text
    instead of its letter.

    >>> text = "Half of 8 is 4. The answer is 4."
    >>> answer_span(text), text[slice(*answer_span(text))]
    ((30, 31), '4')
    >>> answer_span("We halve it.") is None
    True
    """
    found = extract(text, kind=kind, options=options)
    if found.answer is None or found.span is None:
        return None
    begin, end = found.span
    return (begin, end) if text[begin:end].strip().upper() == found.answer.upper() else None
