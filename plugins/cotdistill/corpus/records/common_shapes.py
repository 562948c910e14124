"""The rows of common training files: turns, a prompt with a response, columns that a user names."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from cotdistill.corpus.records.content import (
    CHAINS,
    REASONING,
    plain_text,
    reasoning_in,
    refuse_by_fields,
    with_reasoning,
)
from cotdistill.corpus.records.shape import (
    ReadColumns,
    RefusedRowError,
    Row,
    RowShape,
    SourceInfo,
    make_trace,
    missing,
)
from cotdistill.corpus.records.trace import Trace

PROMPTS = ("instruction", "question", "problem", "prompt", "input", "query")
RESPONSES = ("output", "response", "completion", "solution", "answer", *CHAINS, *REASONING)
GOLDS = ("gold", "answer")
_TURNS = ("messages", "conversations")
_SYSTEM = ("system", "developer")
_ASKING, _ANSWERING = ("user", "human"), ("assistant", "gpt")
_THOUGHT_PARTS = ("thinking", "reasoning", "thought")
_PLAIN_TURN = frozenset(("role", "from", "content", "value"))
_TURN_FIELDS = frozenset(
    ("role", "from", "content", "value", "name", "weight", "loss_weight", "train", "loss",
     "trainable", *REASONING)
)  # fmt: skip


def common_shape_of(row: Row, columns: ReadColumns) -> RowShape | None:
    """Return the shape of a row of turns, or of columns that are named; None if it has neither."""
    if columns.prompt is None and columns.response is None:
        named = (columns.messages,) if columns.messages else _TURNS
        column = next((name for name in named if isinstance(row.get(name), list)), None)
        if column is not None:
            return _turns_shape(column)
        if isinstance(row.get("prompt"), list) and isinstance(row.get("completion"), list):
            return _SPLIT_TURNS
        return None
    prompt = columns.prompt or _first(PROMPTS, row) or "instruction"
    response = columns.response or _first(RESPONSES, row, but=prompt) or "output"
    return _columns_shape(prompt, response, columns.query or _query(prompt, columns, row), True)


def usual_shape_of(row: Row) -> RowShape | None:
    """Return the shape of a row that has a prompt and a response by usual names.

    >>> usual_shape_of({"prompt": "1+1?", "completion": "2"}).name
    'prompt/completion'
    """
    prompt = _first(PROMPTS, row)
    response = _first(RESPONSES, row, but=prompt)
    if prompt is None or response is None:
        return None
    return _columns_shape(prompt, response, _query(prompt, ReadColumns(), row), False)


def _first(names: tuple[str, ...], row: Row, but: str | None = None) -> str | None:
    return next((name for name in names if name in row and name != but), None)


def _query(prompt: str, columns: ReadColumns, row: Row) -> str | None:
    """Alpaca's `input` goes with its instruction."""
    asks = prompt == "instruction" and columns.prompt is None and "input" in row
    return "input" if asks else None


@functools.cache
def _turns_shape(column: str) -> RowShape:
    name = {"conversations": "sharegpt"}.get(column, column)
    read = functools.partial(_turns, column)
    return RowShape(name, (column,), read, also=GOLDS, is_turns=True)


def _turns(column: str, row: Row, info: SourceInfo) -> list[Trace]:
    return _turns_trace(row[column], row, info)


def _split_turns(row: Row, info: SourceInfo) -> list[Trace]:
    return _turns_trace([*row["prompt"], *row["completion"]], row, info)


_SPLIT_TURNS = RowShape(
    "prompt/completion turns", ("prompt", "completion"), _split_turns, also=GOLDS, is_turns=True
)


def _turns_trace(turns: list[Any], row: Row, info: SourceInfo) -> list[Trace]:
    if not all(isinstance(turn, dict) for turn in turns):
        raise RefusedRowError("missing_column", "a turn is not an object")
    roles = [str(turn.get("role", turn.get("from"))) for turn in turns]
    system = None
    if roles and roles[0] in _SYSTEM:
        system = _content(turns[0])[0]
        turns, roles = turns[1:], roles[1:]
    if len(roles) != 2 or roles[0] not in _ASKING or roles[1] not in _ANSWERING:
        shown = f"{len(roles)} turns ({', '.join(roles)}); one question, one answer"
        raise RefusedRowError("several_turns", shown)
    asked, answered = turns
    question, _ = _content(asked)
    response, thought = _content(answered)
    if thought or not (asked.keys() | answered.keys()) <= _PLAIN_TURN:
        refuse_by_fields(asked)
        refuse_by_fields(answered, turns=True)
        thoughts = {"thinking": thought} if thought else {}
        for name, text in reasoning_in(thoughts | answered, REASONING):
            response = with_reasoning(name, text, response, info.reasoning)
    gold = next((row[name] for name in GOLDS if isinstance(row.get(name), str | int | float)), None)
    return [make_trace(info, question, gold, response, system=system)]


def turn_fields(row: Row, shape: RowShape) -> tuple[list[str], list[str]]:
    """Return the fields of a row's turns that hold reasoning, and those that are not read."""
    reasoning: list[str] = []
    unread: list[str] = []
    for turn in (turn for name in shape.keys for turn in row[name]):
        if turn.keys() <= _PLAIN_TURN:
            continue
        reasoning += [name for name, _ in reasoning_in(turn, REASONING)]
        unread += [name for name in turn if name not in _TURN_FIELDS and turn[name]]
    return reasoning, unread


def _content(turn: Mapping[str, Any]) -> tuple[str, str]:
    """Return the text of a turn, and the thought that its parts hold apart from it."""
    value = turn.get("content", turn.get("value"))
    if isinstance(value, str):
        return value, ""
    if value is None and any(turn.get(name) for name in REASONING):
        return "", ""
    if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
        shown = json.dumps(turn, ensure_ascii=False, default=str)[:60]
        raise RefusedRowError("missing_column", f"a turn without text ({shown})")
    texts: list[str] = []
    thoughts: list[str] = []
    for part in value:
        kind, text = part.get("type"), plain_text(part)
        if text is None or kind not in ("text", *_THOUGHT_PARTS):
            raise RefusedRowError("unsupported_content", f"a part of type {kind!r} in a turn")
        (thoughts if kind in _THOUGHT_PARTS else texts).append(text)
    return "\n".join(texts), "\n".join(thoughts)


@functools.cache
def _columns_shape(prompt: str, response: str, query: str | None, mapped: bool) -> RowShape:
    also = [] if mapped else [name for name in GOLDS if name not in (prompt, response)]
    return RowShape(
        "mapped columns" if mapped else f"{prompt}/{response}",
        (prompt, response),
        functools.partial(_columns, prompt, response, query, mapped),
        also=(*also, *([query] if query else [])),
        response=response,
    )


def _columns(
    prompt: str, response: str, query: str | None, mapped: bool, row: Row, info: SourceInfo
) -> list[Trace]:
    question, rationale = row.get(prompt), row.get(response)
    if not isinstance(question, str) or not question.strip():
        raise missing(prompt, question)
    if not isinstance(rationale, str):
        raise missing(response, rationale)
    more = row.get(query) if query else None
    question = f"{question}\n{more}" if more else question
    if not mapped:
        golds = (row.get(name) for name in GOLDS if name != response)
        gold = next((value for value in golds if isinstance(value, str | int | float)), None)
        if info.answer_only:
            gold = rationale
        return [make_trace(info, question, gold, rationale)]
    # MATH files keep gold and solution next to the columns of each teacher
    gold = row.get("output") if "solution" in row and response != "output" else None
    meta = {"level": row.get("level"), "subject": row.get("type")} if "solution" in row else {}
    if response != "solution":
        meta["solution"] = row.get("solution")
    if info.answer_only and gold is None:
        gold = rationale
    return [make_trace(info, question, gold, rationale, **meta)]
