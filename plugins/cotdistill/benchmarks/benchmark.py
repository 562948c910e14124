"""A benchmark as its YAML file declares it: where it is fetched, how many rows, in which shapes.

A shape says how one kind of source file becomes questions. Its values are Jinja2 expressions over
the columns of a row, with the words of `reason.readings` as filters:

    - {has: [question, answer], question: question, gold: answer | after('####')}

They run in Jinja's sandbox; a column is data and is never itself taken for an expression.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import jinja2
import jinja2.sandbox
import pydantic

from cotdistill.benchmarks.question import Question
from cotdistill.benchmarks.readings import READINGS, stem_and_choices
from cotdistill.grading.kinds import Kind


class _Declared(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Hub(_Declared):
    """Where a benchmark lies on the Hugging Face hub; `splits` maps our names of splits to its."""

    id: str
    configs: tuple[str | None, ...] = (None,)
    revision: str | None = None
    splits: dict[str, str]


class Shape(_Declared):
    """One way in which a source writes a question: the columns it has, and how to read them."""

    has: tuple[str, ...]
    where: str | None = None
    question: str
    gold: str
    kind: str | None = None
    options: str | None = None
    rationale: str | None = None
    meta: dict[str, str] = {}

    def fits(self, row: Mapping[str, Any]) -> bool:
        """Whether a row has the columns of this shape, not empty, and meets its condition."""
        if any(row.get(column) is None for column in self.has):
            return False
        try:
            return self.where is None or bool(_value(self.where, row))
        except TypeError:  # a number where the condition speaks of a text
            return False

    def __str__(self) -> str:
        columns = "+".join(self.has)
        return f"{columns} where {self.where}" if self.where else columns


class Benchmark(_Declared):
    """One named benchmark.

    `rows` are the known sizes of each split, the hub's first; `kind` is how its golds compare.
    `inline` says that its questions carry their choices in the text, to be taken apart; `gold` is
    the last reading of every shape's gold. `computed` makes the gold from the `question`: a
    source's gold that is another is replaced and kept as `source_gold` in `meta`. `examples` are
    made-up rows in the hub's shape, on which the tasks are checked where the data is not at hand.
    `question_hashes` are those of its questions (`question_hash`) where another benchmark's files
    look the same.
    """

    name: str
    about: str
    licence: str
    kind: Kind
    inline: bool = False
    hub: Hub | None = None
    rows: dict[str, tuple[int, ...]]
    shapes: tuple[Shape, ...]
    gold: str = "gold"
    computed: str | None = None
    examples: tuple[dict[str, Any], ...] = pydantic.Field(min_length=1)
    question_hashes: frozenset[str] = frozenset()

    def question(self, row: Mapping[str, Any], split: str) -> dict[str, Any]:
        """Return one source row as a question record without its id.

        Raises:
            LookupError: no declared shape has the columns of this row.
            ValueError: a shape fits but a value in it cannot be read; says which and why.
        """
        shape = next((shape for shape in self.shapes if shape.fits(row)), None)
        if shape is None:
            raise LookupError(", ".join(map(str, row)))
        text = str(_named("question", shape.question, row)).strip()
        options = _named("options", shape.options, row) if shape.options else None
        if options is None and self.inline:
            text, options = stem_and_choices(text)
        gold = _named("gold", shape.gold, row)
        gold = _named("gold", self.gold, {**row, "gold": gold})
        if gold is None or not str(gold).strip():
            raise ValueError("the gold is empty")
        rationale = _named("rationale", shape.rationale, row) if shape.rationale else None
        kind = _named("kind", shape.kind, row) if shape.kind else self.kind
        meta = {name: _named(name, expression, row) for name, expression in shape.meta.items()}
        if self.computed is not None:
            right = str(_named("gold", self.computed, {"question": text}))
            if right != str(gold).strip():
                meta["source_gold"], gold = gold, right
        record = {
            "dataset": self.name,
            "split": split,
            "question": text,
            "gold": str(gold).strip(),
            "kind": kind,
            "options": options,
            "rationale": str(rationale).strip() if rationale else None,
            "meta": {name: value for name, value in meta.items() if value is not None},
        }
        Question.model_validate({"id": "unnamed", **record})
        return record


def question_hash(question: str) -> str:
    r"""Return a hash of how a question begins, whatever its markup.

    >>> question_hash("Find $x$.") == question_hash(r"Find \\(x\\)")
    True
    """
    plain = re.sub(r"[^a-z0-9]", "", question.lower())[:60]
    return hashlib.sha256(plain.encode()).hexdigest()[:12]


@functools.cache
def _expressions() -> jinja2.Environment:
    environment = jinja2.sandbox.SandboxedEnvironment(undefined=jinja2.StrictUndefined)
    environment.filters.update(READINGS)
    return environment


@functools.cache
def _compiled(expression: str) -> Callable[..., Any]:
    return _expressions().compile_expression(expression, undefined_to_none=False)


def _value(expression: str, row: Mapping[str, Any]) -> Any:
    value = _compiled(expression)(**row)
    if isinstance(value, jinja2.Undefined):
        raise ValueError(f"{expression!r} names a column that is not there")
    return value


def _named(what: str, expression: str, row: Mapping[str, Any]) -> Any:
    try:
        return _value(expression, row)
    except jinja2.TemplateRuntimeError as error:
        raise ValueError(f"{what}: {error}") from error
    except (ValueError, TypeError, AttributeError, IndexError, KeyError) as error:
        raise ValueError(f"{what}: {error}") from error
