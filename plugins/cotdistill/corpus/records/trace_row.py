"""A trace as a JSON row, in and out: the one record that all of the corpus is kept in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_args

from cotdistill.corpus.records.trace import Provenance, Trace
from cotdistill.errors import did_you_mean
from cotdistill.grading.kinds import Kind

Row = dict[str, Any]

KINDS: tuple[Kind, ...] = get_args(Kind)

_TEXTS = ("id", "dataset", "split", "question", "gold", "rationale")
_FIELDS = tuple(each.name for each in fields(Trace))
_KNOWN = frozenset(_FIELDS)
_LARGEST = 2**31 - 1
_PROVENANCE = Provenance._fields
_KNOWN_PROVENANCE = frozenset(_PROVENANCE)
_COUNTS = frozenset({
    "level", "tokens", "round", "sample", "prompt_tokens", "cached_tokens", "reasoning_tokens",
    "asked",
})  # fmt: skip


def is_trace_row(row: Mapping[str, Any]) -> bool:
    """Whether a row is a trace as `trace_row` writes it, and not some other table's row."""
    return "rationale" in row and "provenance" in row and "question" in row


def trace_of(row: Mapping[str, Any]) -> Trace:
    """Return the trace of a row.

    Raises:
        ValueError: a key is unknown or missing, or a value is of another type; says which.

    >>> trace_of({"id": "1", "dataset": "toy", "split": "train", "question": "1+1?", "gold": "2",
    ...           "rationale": "It is 2.", "provenance": {"teacher": "me"}}).provenance.teacher
    'me'
    """
    if not row.keys() <= _KNOWN:
        raise ValueError(_unknown(row, _FIELDS, ""))
    for name in _TEXTS:
        if not isinstance(row.get(name), str):
            raise ValueError(_wrong(row, name, "text"))
    kind = row.get("kind", "auto")
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r}; {did_you_mean(str(kind), KINDS)}")
    answer = row.get("answer")
    if answer is not None and not isinstance(answer, str):
        raise ValueError(_wrong(row, "answer", "text or null"))
    options = row.get("options")
    if options is not None:
        if not isinstance(options, dict):
            raise ValueError(_wrong(row, "options", "an object of letters or null"))
        for letter, text in options.items():
            if not isinstance(text, str):
                raise ValueError(_wrong(options, letter, "the text of an option"))
    meta = row.get("meta") or {}
    if not isinstance(meta, dict):
        raise ValueError(_wrong(row, "meta", "an object"))
    return Trace(
        row["id"],
        row["dataset"],
        row["split"],
        row["question"],
        row["gold"],
        row["rationale"],
        kind,
        options,
        answer,
        meta,
        _provenance(row.get("provenance") or {}),
    )


def trace_row(trace: Trace) -> Row:
    """Return a trace as a row; keys that are unknown in its provenance are left out.

    >>> trace_row(Trace("1", "toy", "train", "1+1?", "2", "It is 2."))["provenance"]
    {}
    """
    row: Row = {name: getattr(trace, name) for name in _FIELDS}
    row["provenance"] = {
        name: value
        for name in _PROVENANCE
        if (value := getattr(trace.provenance, name)) is not None
    }
    return row


def _provenance(row: Any) -> Provenance:
    if not isinstance(row, dict):
        raise ValueError(f"provenance is {row!r}, expected an object")
    if not row:
        return Provenance()
    if not row.keys() <= _KNOWN_PROVENANCE:
        raise ValueError(_unknown(row, _PROVENANCE, "provenance."))
    for name, value in row.items():
        counts = name in _COUNTS and value is not None
        if counts and not (isinstance(value, int) and 0 <= value <= _LARGEST):
            raise ValueError(_wrong(row, name, f"a whole number from 0 to {_LARGEST}"))
    return Provenance(**row)


def _unknown(row: Mapping[str, Any], known: tuple[str, ...], within: str) -> str:
    name = next(name for name in row if name not in known)
    return f"unknown key '{within}{name}'; {did_you_mean(name, known)}"


def _wrong(row: Mapping[str, Any], name: str, expected: str) -> str:
    if name not in row:
        return f"no key '{name}'"
    shown = repr(row[name])
    return f"'{name}' is {shown if len(shown) < 40 else shown[:37] + '...'}, expected {expected}"
