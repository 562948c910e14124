"""Content that a row holds besides question and response: kept, or a reason to refuse the row.

Reasoning that a row stores outside its response is joined to it. A row is refused if it has more
than one question and answer, is marked as not to be trained on, or holds more than text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cotdistill.corpus.records.shape import Reasoning, RefusedRowError, Row
from cotdistill.corpus.records.trace import states_an_answer

REASONING = (
    "reasoning_content", "reasoning", "thinking", "thinking_content", "thought", "thoughts",
    "reasoning_trace", "reasoning_details", "scratchpad",
)  # fmt: skip
"""Columns, and fields of a message, that hold reasoning apart from the response."""

CHAINS = ("rationale", "cot", "chain_of_thought")
"""Columns whose text comes before an answer that another column holds."""

_TARGET_TAGS = ("kto_tag", "desirable", "is_desirable")  # false: not to be imitated
_FALSE = ("false", "undesirable")
_WEIGHTS = ("weight", "loss_weight")  # 0: not to be trained on
_TRAINED = ("train", "loss", "trainable")  # False or 0: not to be trained on
_TURNS_BEFORE = ("history",)
_UNSUPPORTED = ("tools", "tool_calls", "functions", "function_call", "images", "image", "videos",
    "video", "audios", "audio")  # fmt: skip
_EMPTY = ("", "[]", "{}", "null", "none")
_LONGEST_ANSWER = 80


def refuse_by_fields(row: Row, read: frozenset[str] = frozenset(), *, turns: bool = False) -> None:
    """Refuse a row for what is in its columns; those in `read` mean something else to its shape.

    `turns` says that the row, or what is given for it, is made of turns: then weights count too.

    Raises:
        RefusedRowError: the row has earlier turns, is no target, or holds more than text.
    """
    for name in _TURNS_BEFORE:
        if name not in read and holds(row.get(name)):
            raise RefusedRowError(
                "several_turns", f"earlier turns in '{name}'; one question, one answer"
            )
    for name in ("label", *_TARGET_TAGS):
        is_tag = turns or name != "label"  # elsewhere a label that is not a boolean is an answer
        value = row.get(name)
        if name not in read and (value is False or (is_tag and _is_false(value))):
            raise RefusedRowError("not_a_target", f"'{name}' is false: marked as undesirable")
    if turns:
        refuse_untrained(row)
    for name in _UNSUPPORTED:
        if name not in read and holds(row.get(name)):
            raise RefusedRowError("unsupported_content", f"'{name}', which a text cannot hold")


def refuse_untrained(turn: Mapping[str, Any]) -> None:
    """Refuse a turn, or a row of turns, that is marked as not to be trained on.

    Raises:
        RefusedRowError: it is.
    """
    for name in _WEIGHTS:
        value = turn.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and value <= 0:
            raise RefusedRowError("not_a_target", f"'{name}' is {value:g}: not to be trained on")
    for name in _TRAINED:
        value = turn.get(name)
        if value is False or (value == 0 and isinstance(value, int)):
            raise RefusedRowError("not_a_target", f"'{name}' is {value}: not to be trained on")


def reasoning_in(fields: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield name and text of each of some columns that holds reasoning, each text once.

    >>> list(reasoning_in({"reasoning": "2 + 3", "thinking": "2 + 3"}, REASONING))
    [('reasoning', '2 + 3')]
    """
    seen: set[str] = set()
    for name in names:
        text = plain_text(fields.get(name))
        if text is not None and text.strip() and text.strip() not in seen:
            seen.add(text.strip())
            yield name, text


def plain_text(value: Any) -> str | None:
    r"""Return what a field says as text: a text, a list of texts or of parts; None for all else.

    >>> plain_text(["Add.", {"type": "text", "text": "It is 5."}]), plain_text({"effort": "high"})
    ('Add.\nIt is 5.', None)
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return next((value[name] for name in _PARTS if isinstance(value.get(name), str)), None)
    if isinstance(value, list):
        texts = [plain_text(part) for part in value]
        if all(text is not None for text in texts):
            return "\n".join(text for text in texts if text is not None)
    return None


_PARTS = ("text", "thinking", "reasoning", "content", "summary")


def with_reasoning(name: str, reasoning: str, response: str, how: Reasoning) -> str:
    r"""Return a response with its reasoning before it.

    Raises:
        RefusedRowError: there is no response, or it has another thought of its own.

    >>> with_reasoning("reasoning", "2 + 3", "It is 5.", "think")
    '<think>\n2 + 3\n</think>\n\nIt is 5.'
    >>> with_reasoning("reasoning", "2 + 3", "<think>2 + 3</think>It is 5.", "think")
    '<think>2 + 3</think>It is 5.'
    """
    if not response.strip():
        raise RefusedRowError("empty_rationale", f"'{name}' and no response after it")
    if how == "drop":
        return response
    if reasoning.strip() in response:
        return response
    if "<think>" in response or "</think>" in response:
        raise RefusedRowError(
            "unsupported_content", f"a thought in '{name}' and another in the response"
        )
    if how == "plain":
        return f"{reasoning.strip()}\n\n{response}"
    return f"<think>\n{reasoning.strip()}\n</think>\n\n{response}"


def with_chain(chain: str, response: str) -> tuple[str, str | None]:
    r"""Return a rationale that is a chain and what follows it, and the answer where it is bare.

    >>> with_chain("2 + 3 = 5", "5"), with_chain("2 + 3 = 5", "The answer is 5.")
    (('2 + 3 = 5', '5'), ('2 + 3 = 5\nThe answer is 5.', None))
    """
    if not response.strip():
        return chain, None
    if chain.strip() in response:
        return response, None
    is_bare = len(response) <= _LONGEST_ANSWER and "\n" not in response.strip()
    if is_bare and not states_an_answer(response):
        return chain, response.strip()
    return f"{chain.rstrip()}\n{response}", None


def _is_false(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in _FALSE
    return isinstance(value, int) and value == 0


def holds(value: Any) -> bool:
    """Whether a field holds anything; other programs write an empty one in several ways."""
    if isinstance(value, str):
        return value.strip().lower() not in _EMPTY
    if isinstance(value, list | dict):
        return len(value) > 0
    return value is not None and value is not False
