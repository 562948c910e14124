"""Replies that come in pieces (server-sent events), put together to what one piece would have been.

Streaming is not for reading along: it keeps a connection from being idle for minutes, which proxies
end, and tells a server that died from one that thinks.
"""

from __future__ import annotations

import json
from typing import Any

from cotdistill.hosts.request import Reply, Request, read_reply, reply_of, shown

_TEXTS = frozenset({"content", "reasoning", "reasoning_content", "refusal"})
_LISTS = frozenset({"content", "reasoning_details"})


def streamed(request: Request) -> bytes:
    """Return the body that asks for a reply in pieces, with the tokens it cost at its end."""
    body = request.body() | {"stream": True, "stream_options": {"include_usage": True}}
    return json.dumps(body, sort_keys=True).encode("ascii")


def read_stream(data: bytes, request: Request) -> Reply:
    r"""Return the reply that a whole stream holds; a stream without an end is a failure.

    A server that does not stream answers in one piece, which is read as such.

    >>> events = [{"choices": [{"delta": {"content": text}}]} for text in ("4", "2")]
    >>> events[1]["choices"][0]["finish_reason"] = "stop"
    >>> data = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    >>> read_stream(data.encode(), Request("m", prompt="6 * 7 =")).choices[0].content
    '42'
    """
    if data.lstrip()[:1] == b"{":
        return read_reply(data, request)
    whole: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    is_whole = False
    try:
        for line in data.splitlines():
            if not line.startswith(b"data:"):
                continue
            text = line[5:].strip()
            if text == b"[DONE]":
                is_whole = True
                continue
            event = json.loads(text)
            if "error" in event and not event.get("choices"):
                return Reply(failure=f"the server broke off: {shown(text)}")
            whole |= {name: value for name, value in event.items() if value and name != "choices"}
            for part in event.get("choices") or ():
                _add(choices.setdefault(part.get("index") or 0, {"message": {}}), part)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return Reply(failure=f"not a stream of a completion: {shown(data)}")
    if not choices:
        return Reply(failure=f"not a completion: {shown(data)}")
    if not is_whole and not all(choice.get("finish_reason") for choice in choices.values()):
        return Reply(failure="the stream broke off before the reply's end")
    whole["choices"] = [{"index": index, **choice} for index, choice in sorted(choices.items())]
    return reply_of(whole, request, data)


def _add(choice: dict[str, Any], part: dict[str, Any]) -> None:
    """Put one piece of a choice behind those before it."""
    message = choice["message"]
    delta = part.get("delta") or {}
    for name, piece in delta.items():
        if isinstance(piece, str) and name in _TEXTS:
            before = message.get(name, "")
            part_of_list = [{"type": "text", "text": piece}]
            message[name] = before + (piece if isinstance(before, str) else part_of_list)
        elif isinstance(piece, list) and name in _LISTS:
            before = message.get(name) or []
            if isinstance(before, str):
                before = [{"type": "text", "text": before}] if before else []
            message[name] = before + piece
    if isinstance(piece := part.get("text"), str):
        message["content"] = message.get("content", "") + piece
    if part.get("finish_reason"):
        choice["finish_reason"] = part["finish_reason"]
    given = part.get("logprobs")
    if isinstance(given, dict) and isinstance(given.get("content"), list):
        choice.setdefault("logprobs", {"content": []})["content"] += given["content"]
