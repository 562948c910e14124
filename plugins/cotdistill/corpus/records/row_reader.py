"""The rows of one file as traces: one reader for `import-traces`, filters and the arms of a study.

The first row that can be read decides the shape of the file; rows of unrelated shapes are refused.
What a row holds besides question and response is kept or refused as `content` says, and every field
is counted by its name, so that `check`, `lint` and ledgers can report it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cotdistill.benchmarks.question import question_text
from cotdistill.corpus.records.common_shapes import PROMPTS, RESPONSES, turn_fields
from cotdistill.corpus.records.content import (
    CHAINS,
    REASONING,
    holds,
    reasoning_in,
    refuse_by_fields,
    with_chain,
    with_reasoning,
)
from cotdistill.corpus.records.row_shapes import TRACE_SHAPE, shape_of
from cotdistill.corpus.records.shape import (
    RefusedRowError,
    Row,
    RowShape,
    SourceInfo,
    answer_text,
    missing,
    text_of,
)
from cotdistill.corpus.records.trace import Trace, trace_id

_CONTEXT = ("passage", "article", "context", "body", "story", "paragraph")
_CHOICES = ("options", "choices")
_MARKS = frozenset(("label", "kto_tag", "desirable", "is_desirable", "history", "weight", "train"))


@dataclass
class FieldCounts:
    """Rows by field, besides question and response: `kept`, `left_out`, or `not_read`."""

    kept: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    not_read: Counter[str] = field(default_factory=Counter)

    def as_notes(self) -> dict[str, dict[str, int]]:
        """Return the counts for a ledger, without those that are empty."""
        counts = {"kept": self.kept, "left_out": self.left_out, "not_read": self.not_read}
        return {name: dict(sorted(count.items())) for name, count in counts.items() if count}


def field_lines(notes: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return a line for each kind of field that a ledger's notes count.

    >>> field_lines({"kept": {"reasoning": 2}, "not_read": {"id": 1, "source": 3}})
    ['kept: reasoning (2 rows)', 'not read: id (1 row), source (3 rows)']
    """
    return [
        f"{kind.replace('_', ' ')}: "
        + ", ".join(f"{name} ({rows:,} row{'s' * (rows != 1)})" for name, rows in counts.items())
        for kind, counts in notes.items()
        if counts
    ]


@dataclass(frozen=True)
class _Apart:
    """What one row holds apart from its question and response, each with the column's name."""

    reasoning: tuple[tuple[str, str], ...] = ()
    chains: tuple[tuple[str, str], ...] = ()
    context: Mapping[str, Any] = field(default_factory=dict)
    system: tuple[str, str] | None = None

    @property
    def names(self) -> list[str]:
        """The columns that are kept, apart from reasoning."""
        system = [self.system[0]] if self.system else []
        return [*(name for name, _ in self.chains), *self.context, *system]


_NOTHING = _Apart()


class RowReader:
    """Reads the rows of one file in order."""

    def __init__(self, info: SourceInfo) -> None:
        self.info = info
        self.fields = FieldCounts()
        self.shape: RowShape | None = None
        self._keys: tuple[str, ...] = ()  # of the first row that was read
        self._more: dict[tuple[str, ...], tuple[str, ...]] = {}
        columns = info.columns
        # a named response says that the other columns are not wanted
        self._system = columns.system or (None if columns.response else "system")
        self._reasoning: tuple[str, ...] = REASONING
        self._chains: tuple[str, ...] = CHAINS
        if columns.reasoning is not None:
            self._reasoning, self._chains = (columns.reasoning,), ()
        elif columns.response is not None:
            self._reasoning, self._chains = (), ()

    def read(self, row: Row) -> tuple[list[Trace], RowShape]:
        """Return the traces of a row, and its shape; a question has no rationale.

        Raises:
            RefusedRowError: the row is none of the file's shape, is not to be trained on, has more
                than one question and answer, or lacks text.
        """
        shape = self._shape(row)
        traces = _read(shape, row, self.info)
        if shape is not TRACE_SHAPE:
            more = self._other_columns(row, shape)
            if more or shape.is_turns:
                refuse_by_fields(row, shape.columns, turns=shape.is_turns)
            apart = self._apart(row, shape, more) if more else _NOTHING
            traces = [self._whole(trace, row, shape, apart) for trace in traces]
            if more or shape.is_turns:
                self._count(row, shape, more, apart)
        if self.shape is None:
            self.shape, self._keys = shape, tuple(row)
        return traces, shape

    def _shape(self, row: Row) -> RowShape:
        """Return the shape of a row, if the file may have such rows."""
        first = self.shape
        if first is not None and tuple(row) == self._keys:
            return first
        shape = shape_of(row, self.info)
        if first is None:
            if shape is None:
                raise RefusedRowError("missing_column", _unknown(row))
            return shape
        if shape is not None and _are_alike(shape, first):
            return shape
        lacking = next((key for key in first.keys if key not in row), None)
        if shape is None and lacking is not None:
            raise missing(lacking)
        why = f"keys {', '.join(map(str, row))}; not of the file's shape ({first.name})"
        raise RefusedRowError("missing_column", why[:200])

    def _other_columns(self, row: Row, shape: RowShape) -> tuple[str, ...]:
        """Return the columns of a row that its shape does not read."""
        keys = (shape.name, *row)
        if keys not in self._more:
            self._more[keys] = tuple(name for name in row if name not in shape.columns)
        return self._more[keys]

    def _apart(self, row: Row, shape: RowShape, more: tuple[str, ...]) -> _Apart:
        context = {}
        if not self.info.columns.prompt and not shape.is_turns:
            names = (name for name in more if name.lower() in (*_CONTEXT, *_CHOICES, "input"))
            context = {name: row[name] for name in names if holds(row[name])}
        system = None
        if self._system is not None and self._system in more:
            text = row[self._system]
            system = (self._system, text) if isinstance(text, str) and text.strip() else None
        return _Apart(
            tuple(reasoning_in(row, tuple(name for name in self._reasoning if name in more))),
            tuple(reasoning_in(row, tuple(name for name in self._chains if name in more))),
            context,
            system,
        )

    def _whole(self, trace: Trace, row: Row, shape: RowShape, apart: _Apart) -> Trace:
        """Return a trace with the context, system prompt and reasoning that its row holds apart."""
        question = _with_context(trace.question, apart.context)
        if not question.strip():
            raise missing(shape.keys[0], "")
        rationale, answer = self._response(trace, row, shape, apart)
        is_question = shape.questions and not self.info.answers_are_targets
        if not answer and not is_question and not rationale.strip():
            name = shape.response or shape.answer
            where = f"no text in column '{name}'" if name else "an empty response"
            raise RefusedRowError("empty_rationale", where)
        if question is trace.question and rationale is trace.rationale and not apart.system:
            return trace if answer == trace.answer else replace(trace, answer=answer)
        meta = trace.meta
        if apart.system is not None:
            name, system = apart.system
            if meta.get("system", system) != system:
                why = f"a system prompt in '{name}' and another in its turns"
                raise RefusedRowError("unsupported_content", why)
            meta = {**meta, "system": system}
        has_own_id = trace.id != trace_id(trace.dataset, trace.question, trace.rationale)
        new_id = trace.id if has_own_id else trace_id(trace.dataset, question, rationale)
        return replace(
            trace, id=new_id, question=question, rationale=rationale, answer=answer, meta=meta
        )

    def _response(
        self, trace: Trace, row: Row, shape: RowShape, apart: _Apart
    ) -> tuple[str, str | None]:
        """Return the rationale with the reasoning that other columns hold, and the bare answer."""
        info = self.info
        rationale, answer = trace.rationale, trace.answer
        if shape.answer is not None and not rationale.strip():
            if apart.reasoning or apart.chains:
                rationale = answer_text(row.get(shape.answer))
            elif info.answers_are_targets and not self._has_rationales(row, shape):
                rationale = text_of(row.get(shape.answer), shape.answer)
        for _, text in apart.chains:
            rationale, bare = with_chain(text, rationale)
            answer = bare or answer
        for name, text in apart.reasoning:
            rationale = with_reasoning(name, text, rationale, info.reasoning)
        return rationale, answer

    def _has_rationales(self, row: Row, shape: RowShape) -> bool:
        """Whether the file has rationales, by its first row: then a row without one is at fault."""
        first = self._keys or tuple(row)
        return shape.response is not None and shape.response in first

    def _count(self, row: Row, shape: RowShape, more: tuple[str, ...], apart: _Apart) -> None:
        counts = self.fields
        reasoning = [name for name, _ in apart.reasoning]
        kept, unread = apart.names, list[str]()
        if shape.is_turns:
            in_turns, unread = turn_fields(row, shape)
            reasoning += in_turns
        known = {*reasoning, *kept, *_MARKS}
        unread += [name for name in more if name not in known and holds(row[name])]
        if self.info.registered:  # then only what may be content is reported
            unread = [name for name in unread if name in (*REASONING, *CHAINS, "system")]
        (counts.left_out if self.info.reasoning == "drop" else counts.kept).update(reasoning)
        counts.kept.update(kept)
        counts.not_read.update(unread)


def _are_alike(shape: RowShape, first: RowShape) -> bool:
    """Whether a row may lack columns that the first row had, or have more, and nothing else."""
    if shape.name == first.name:
        return True
    one, other = set(shape.keys), set(first.keys)
    return TRACE_SHAPE not in (shape, first) and (one <= other or other <= one)


def _with_context(question: str, context: Mapping[str, Any]) -> str:
    if not context:
        return question
    more = context.get("input")
    rest = {name: value for name, value in context.items() if name != "input"}
    if rest:
        question = question_text({**rest, "question": question})
    return f"{question}\n{more}" if isinstance(more, str) else question


def _read(shape: RowShape, row: Row, info: SourceInfo) -> list[Trace]:
    try:
        return shape.read(row, info)
    except RefusedRowError:
        raise
    except KeyError as error:
        raise missing(str(error.args[0])) from error
    except (TypeError, ValueError) as error:
        why = f"not a trace ({error})" if shape is TRACE_SHAPE else str(error)
        raise RefusedRowError("missing_column", why) from error


def _unknown(row: Row) -> str:
    if not any(name in row for name in PROMPTS):
        return f"no column of a question ({', '.join(PROMPTS)}), no messages and no conversations"
    wanted = ", ".join(RESPONSES[:5])
    return f"no column of a response ({wanted} ...)"
