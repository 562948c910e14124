"""Where in a rationale its answer stands: by characters, and by the tokens that cover them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from cotdistill.grading.answer_span import Span, answer_span
from cotdistill.grading.extract.extract import extract
from cotdistill.grading.kinds import Kind

__all__ = ["answer_span", "conclusion_start", "token_span"]

_SENTENCE_ENDS = re.compile(r"\n|[.!?]\s")


def conclusion_start(
    text: str, kind: Kind = "auto", options: Mapping[str, str] | None = None
) -> int:
    r"""Return where the sentence or line begins that states the answer; the end where none does.

    >>> text = "Half of 8 is 4. The answer is 4."
    >>> text[conclusion_start(text):]
    'The answer is 4.'
    """
    found = extract(text, kind=kind, options=options)
    if found.span is None or found.answer is None:
        return len(text)
    ends = [mark.end() for mark in _SENTENCE_ENDS.finditer(text, 0, found.span[0])]
    return ends[-1] if ends else 0


def token_span(offsets: Sequence[Span], span: Span) -> Span | None:
    """Return which tokens cover a span of characters, the end excluded; None if no token does.

    Shapes: offsets [tokens], the first and last-but-one character of each, as fast tokenizers of
    transformers give them with `return_offsets_mapping`; special tokens have (0, 0).

    >>> token_span([(0, 0), (0, 4), (4, 7), (7, 8), (0, 0)], (5, 8))
    (2, 4)
    """
    begin, end = span
    covering = [at for at, (first, last) in enumerate(offsets) if first < end and last > begin]
    return (covering[0], covering[-1] + 1) if covering else None
