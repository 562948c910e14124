"""What all shapes of rows share: what is known of a file, and how values become a trace."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cotdistill.benchmarks.question import question_key
from cotdistill.benchmarks.readings import letter, stem_and_choices
from cotdistill.corpus.records.trace import Provenance, Trace, trace_id
from cotdistill.grading.kinds import Kind

Row = Mapping[str, Any]
Reasoning = Literal["think", "plain", "drop"]
"""How reasoning that a row stores outside its response is trained on.

`think` writes it between `<think>` tags before the response, `plain` as text before it, `drop`
leaves it out and counts it.
"""


class RefusedRowError(ValueError):
    """A row that becomes no trace: the rule that it breaks, and why, in a few words."""

    def __init__(self, rule: str, why: str) -> None:
        super().__init__(why)
        self.rule, self.why = rule, why


def missing(column: str, value: Any = None) -> RefusedRowError:
    """Return the error of a row that has no column of a name, or no text in it."""
    kind = "no" if value is None else "no text in"
    return RefusedRowError("missing_column", f"{kind} column '{column}'")


@dataclass(frozen=True)
class ReadColumns:
    """Columns that are named for a file; None finds the column by its usual names."""

    prompt: str | None = None
    query: str | None = None
    response: str | None = None
    system: str | None = None
    messages: str | None = None
    reasoning: str | None = None


@dataclass(frozen=True)
class SourceInfo:
    """What a file's name, its registration or the user says of all of its rows.

    `golds` maps questions (`question_key`, by their words) to gold answers, for files that hold
    none. `choices` says that questions carry their choices in the text. With `answers_are_targets`
    the bare answer is trained on where a file has nothing else; `answer_only` says that its
    responses are the answers. Of a `registered` file, columns that it does not name are reported
    only where they may hold content.
    """

    dataset: str = "unknown"
    split: str = "train"
    columns: ReadColumns = ReadColumns()
    kind: Kind = "auto"
    choices: bool = False
    provenance: Provenance = field(default_factory=Provenance)
    golds: Mapping[str, str] = field(default_factory=dict)
    answer_only: bool = False
    answers_are_targets: bool = False
    registered: bool = False
    reasoning: Reasoning = "think"


@dataclass(frozen=True)
class RowShape:
    """One shape of rows: its name, the keys that identify it, and how a row becomes traces.

    `response` is the column of the rationale where there is one; `also` are further columns that it
    reads. In a shape of `questions`, a row without a rationale is a question, and no faulty trace.
    `answer` is the column whose text a student is trained on where a file has no rationales.
    """

    name: str
    keys: tuple[str, ...]
    read: Callable[[Row, SourceInfo], list[Trace]]
    response: str | None = None
    also: tuple[str, ...] = ()
    questions: bool = False
    answer: str | None = None
    is_turns: bool = False

    @functools.cached_property
    def columns(self) -> frozenset[str]:
        """Every column that the shape reads."""
        response = (self.response,) if self.response else ()
        return frozenset((*self.keys, *self.also, *response))


def make_trace(
    info: SourceInfo, question: Any, gold: Any, rationale: Any, answer: Any = None, **meta: Any
) -> Trace:
    """Return a trace of a row's values; an unknown gold (None) is looked up by the question.

    Raises:
        RefusedRowError: the question or the rationale is not text.
    """
    question, rationale = text_of(question, "question"), text_of(rationale, "rationale")
    if gold is None:
        gold = info.golds.get(question_key(question, "words"), "")
    kept = {name: value for name, value in meta.items() if value not in (None, "")}
    return Trace(
        trace_id(info.dataset, question, rationale),
        info.dataset,
        info.split,
        question,
        _gold(gold, info.kind),
        rationale,
        info.kind,
        _choices(question) if info.choices else None,
        answer=None if answer is None else answer_text(answer),
        meta=kept,
        provenance=info.provenance,
    )


def text_of(value: Any, column: str) -> str:
    """Return a value that must be text.

    Raises:
        RefusedRowError: it is not.
    """
    if not isinstance(value, str):
        raise missing(column, value)
    return value


def answer_text(value: Any) -> str:
    """Return an answer as text: whole numbers without a point, several answers with commas.

    >>> answer_text(31.0), answer_text(["2", 3])
    ('31', '2, 3')
    """
    if isinstance(value, list):
        return ", ".join(map(answer_text, value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _gold(value: Any, kind: str) -> str:
    gold = answer_text(value)
    try:
        return letter(gold) if kind == "letter" else gold  # CommonsenseQA has "B. enforce"
    except ValueError:
        return gold


def _choices(question: str) -> dict[str, str] | None:
    try:
        return stem_and_choices(question)[1]
    except ValueError:
        return None
