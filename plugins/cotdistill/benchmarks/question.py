"""A question: one problem with its gold answer, the same shape whatever file it came from.

It is the row of prepared data, the document of an lm-eval task, and what a trace is built on.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import pydantic

from cotdistill.grading.kinds import Kind


class Question(pydantic.BaseModel):
    """One problem, its gold answer, and what a grader must know to compare another with it.

    `meta` holds what the source says beside: level, subject, answer_type, unit, tolerance ...

    >>> Question(id="toy-1", dataset="toy", split="test", question="1+1?", gold="2", kind="number")
    Question(id='toy-1', dataset='toy', split='test', question='1+1?', gold='2', kind='number', \
options=None, rationale=None, meta={})
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    id: str = pydantic.Field(min_length=1)
    dataset: str = pydantic.Field(min_length=1)
    split: str = pydantic.Field(min_length=1)
    question: str = pydantic.Field(min_length=1)
    gold: str = pydantic.Field(min_length=1)
    kind: Kind = "auto"
    options: dict[str, str] | None = None
    rationale: str | None = None
    meta: dict[str, Any] = {}

    @pydantic.model_validator(mode="after")
    def _gold_is_an_option(self) -> Question:
        if self.kind == "letter" and self.options and self.gold not in self.options:
            raise ValueError(f"gold {self.gold!r} is none of the options {', '.join(self.options)}")
        return self


def fingerprint(question: str) -> str:
    r"""Return 12 hex digits that depend on the words of a question, not on its white space.

    >>> fingerprint("How  many?\n") == fingerprint("How many?")
    True
    """
    return hashlib.sha256(" ".join(question.split()).encode()).hexdigest()[:12]


def with_ids(dataset: str, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Give each row an id made of its dataset and its question; a repeated question counts up.

    The id does not depend on the file, its order or its shape, so two copies of a benchmark join.

    >>> rows = [{"question": "1+1?"}, {"question": "2+2?"}, {"question": "1+1?"}]
    >>> [row["id"][-6:] for row in with_ids("toy", rows)]
    ['43bcc2', '5245cd', 'bcc2-2']
    """
    seen: Counter[str] = Counter()
    for row in rows:
        name = f"{dataset}-{fingerprint(row['question'])}"
        seen[name] += 1
        yield {"id": name if seen[name] == 1 else f"{name}-{seen[name]}", **row}
