"""What is asked of a language model and what comes back, as values.

A `Request` says what the caller wants in terms that every backend has; it becomes JSON, or vLLM's
sampling parameters, only where it is sent. A `Reply` keeps everything that a caller may need later:
all choices, each with its answer apart from its reasoning, why it ended, its log probabilities,
and what the server says that it cost.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from cotdistill.files.jsonl import json_bytes

_NO_ANSWER = frozenset(
    {"content_filter", "tool_calls", "function_call", "refusal", "abort", "error"}
)
_CLOSED = re.compile(r"</think>[ \t]*(?:\n|$)")
_MOST_TOKENS = 1 << 53  # a server that counts more counts nonsense
_SHOWN = 200
_escaped = json.JSONEncoder(sort_keys=True).encode  # `dumps` would make one for every request


@dataclass(frozen=True)
class Request:
    """One thing to ask: messages or a prompt, and how to sample; None leaves it to the backend.

    `logprobs` is how many alternatives each token's log probability comes with (0: the token's own
    only). `as_completion_tokens` sends `max_tokens` as `max_completion_tokens`, as OpenAI's
    reasoning models want it. `extra` holds further keys of the OpenAI body by their names there.
    `key` is the caller's own name for the request; it is never sent, and batch files carry it as
    `custom_id`.

    >>> Request("m", ({"role": "user", "content": "1+1?"},), temperature=0).encoded
    b'{"messages":[{"content":"1+1?","role":"user"}],"model":"m","temperature":0}'

    Raises:
        ValueError: neither or both of messages and prompt, or `extra` repeats a field.
    """

    model: str
    messages: Sequence[Mapping[str, Any]] = ()
    prompt: str | None = None
    n: int = 1
    random_seed: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    max_tokens: int | None = None
    as_completion_tokens: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""

    def __post_init__(self) -> None:
        if bool(self.messages) == (self.prompt is not None):
            raise ValueError("a request has either messages or a prompt")
        if self.extra and (repeated := _FIELDS & set(self.extra)):
            raise ValueError(f"extra repeats {', '.join(sorted(repeated))}")

    @property
    def is_chat(self) -> bool:
        """Whether messages are sent, to which the server applies its chat template."""
        return self.prompt is None

    def body(self) -> dict[str, Any]:
        """Return the JSON body of an OpenAI-compatible server, for chat or for completions."""
        body: dict[str, Any] = {"model": self.model}
        if self.is_chat:
            body["messages"] = list(self.messages)
            if self.logprobs is not None:
                body |= {"logprobs": True, "top_logprobs": self.logprobs}
        else:
            body["prompt"] = self.prompt
            if self.logprobs is not None:
                body["logprobs"] = self.logprobs
        if self.n != 1:
            body["n"] = self.n
        if self.random_seed is not None:
            body["seed"] = self.random_seed
        if self.temperature is not None:
            body["temperature"] = self.temperature
        if self.top_p is not None:
            body["top_p"] = self.top_p
        if self.stop:
            body["stop"] = list(self.stop)
        if self.max_tokens is not None:
            name = "max_completion_tokens" if self.as_completion_tokens else "max_tokens"
            body[name] = self.max_tokens
        return {**body, **self.extra}

    @functools.cached_property
    def encoded(self) -> bytes:
        """The body as it is sent: keys in order, so that equal requests are equal bytes."""
        return json_bytes(self.body())

    @functools.cached_property
    def digest(self) -> str:
        """A name for exactly this request: the SHA-256 of all that is sent."""
        return hashlib.sha256(_escaped(self.body()).encode("ascii")).hexdigest()

    def named(self, key: str) -> Request:
        """Return the same request under another key, without encoding it again.

        >>> Request("m", prompt="1 + 1 =").named("sum").key
        'sum'
        """
        other = object.__new__(Request)
        other.__dict__.update(self.__dict__, key=key)
        return other


_FIELDS = frozenset(
    {"model", "messages", "prompt", "n", "seed", "temperature", "top_p", "stop", "logprobs",
     "top_logprobs", "max_tokens"}
)  # fmt: skip


@dataclass(frozen=True)
class TokenLogprob:
    """One token of a response, its log probability, and the most probable tokens in its place."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


class Choice(NamedTuple):
    """One response: the answer, the reasoning before it, and why it ended.

    `logprobs` is None where the backend gave none.
    """

    content: str
    reasoning: str = ""
    finish_reason: str = ""
    logprobs: tuple[TokenLogprob, ...] | None = None


class Usage(NamedTuple):
    """What the server says that a reply cost, in tokens; None where it does not say.

    `cached_tokens` are a part of `prompt_tokens`, `reasoning_tokens` of `completion_tokens`.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class Reply(NamedTuple):
    """All that came back for one request, or in `failure` why nothing did.

    `model` and `fingerprint` are what the server calls itself; `attempts` counts how often it was
    asked until then.
    """

    choices: tuple[Choice, ...] = ()
    failure: str = ""
    usage: Usage = Usage()
    model: str = ""
    fingerprint: str = ""
    attempts: int = 1

    @property
    def content(self) -> str:
        """The answer of the first choice."""
        return self.choices[0].content if self.choices else ""

    @property
    def finish_reason(self) -> str:
        """Why the first choice ended."""
        return self.choices[0].finish_reason if self.choices else ""


Take = Callable[[Request, Reply], None]
Asker = Callable[[Iterator[Request], Take], None]
"""A backend: what sends requests and passes on each reply, in no order.

Servers (`endpoint`), vLLM in this process, transformers and batch files are all used through this
one call. It draws a request only when it is about to send it, so that the caller's generator can
stop when a budget is spent, and calls `take` with the very request it drew, once for each reply; a
request that failed for good comes back as a reply with `failure`. It may return without a reply to
some requests (a batch file that was only written): the caller counts those as open. What it cannot
honour of a request it refuses with MisuseError before it sends anything; it drops nothing silently.
"""


def read_reply(data: bytes, request: Request) -> Reply:
    """Return the reply that a server's JSON holds; a failure if it is none, or holds no answer.

    >>> data = b'{"choices": [{"message": {"content": "<think>hm</think>4"}}]}'
    >>> read_reply(data, Request("m", ({"role": "user", "content": "2+2?"},))).choices[0]
    Choice(content='4', reasoning='hm', finish_reason='', logprobs=None)
    """
    try:
        try:
            body = orjson.loads(data)
        except orjson.JSONDecodeError:
            body = json.loads(data)  # which takes NaN, as some servers write
    except (ValueError, RecursionError):
        return Reply(failure=f"not a completion: {shown(data)}")
    return reply_of(body, request, data)


def reply_of(body: Any, request: Request, data: bytes) -> Reply:
    """Return the reply that parsed JSON holds; see `read_reply`."""
    try:
        entries = body["choices"]
        if len(entries) > 1:
            entries = sorted(entries, key=lambda entry: _count(entry.get("index")) or 0)
        choices = tuple(map(_choice, entries))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Reply(failure=f"not a completion: {shown(data)}")
    return Reply(
        choices,
        failure=answer_fault(choices, request),
        usage=_usage(body.get("usage")),
        model=_text(body.get("model")),
        fingerprint=_text(body.get("system_fingerprint")),
    )


def answer_fault(choices: Sequence[Choice], request: Request) -> str:
    """Return why these choices do not answer a request, or an empty text.

    A response that was cut off counts as an answer even if it is empty: all of its tokens went
    into a thought, and more of them may help.
    """
    if len(choices) < request.n:
        return f"{len(choices)} responses came back, {request.n} were asked for (n)"
    if any(_is_answer(choice) for choice in choices):
        return ""
    reasons = ", ".join(dict.fromkeys(c.finish_reason for c in choices if c.finish_reason))
    return "an empty reply" + (f" (finish_reason {reasons})" if reasons else "")


def split_thought(text: str) -> tuple[str, str]:
    r"""Return the answer and the thought in tags that comes before it.

    A chat template may have written the opening tag, so that only the closing one is in the text,
    at the end of a line; a thought that never ends leaves no answer. Tags elsewhere are left alone.

    >>> split_thought("<think>2 + 2</think>4"), split_thought("2 + 2\n</think>\n\n4")
    (('4', '2 + 2'), ('4', '2 + 2'))
    >>> split_thought("<think>2 + 2 is"), split_thought("The tag </think> ends it.")
    (('', '2 + 2 is'), ('The tag </think> ends it.', ''))
    """
    thoughts = []
    rest = text.lstrip()
    if "<think>" not in rest and (close := _CLOSED.search(rest)):
        thoughts.append(rest[: close.start()].strip())
        rest = rest[close.end() :].lstrip()
    elif not rest.startswith("<think>"):
        return text, ""
    while rest.startswith("<think>"):
        thought, _, rest = rest.removeprefix("<think>").partition("</think>")
        thoughts.append(thought.strip())
        rest = rest.lstrip()
    return rest, "\n".join(filter(None, thoughts))


def shown(data: bytes) -> str:
    r"""Return the beginning of a server's text as one line that is safe to print.

    >>> shown(b"<h1>\n  Busy \x1b[2J</h1>")
    '<h1> Busy \ufffd[2J</h1>'
    """
    text = " ".join(data[: 8 * _SHOWN].decode("utf-8", "replace").split())[:_SHOWN]
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def _choice(entry: dict[str, Any]) -> Choice:
    message = entry.get("message")
    if message is None:
        content, reasoning = _text(entry["text"]), ""
    else:
        content, reasoning = _parts(message.get("content"))
        reasoning = _reasoning(message) or reasoning
        if not content and (refusal := _text(message.get("refusal"))):
            return Choice(refusal, reasoning, "refusal")
    if not reasoning:
        content, reasoning = split_thought(content)
    return Choice(
        content=content,
        reasoning=reasoning,
        finish_reason=_text(entry.get("finish_reason")),
        logprobs=_logprobs(entry.get("logprobs")),
    )


def _parts(content: Any) -> tuple[str, str]:
    """Text and thought of a message's content: one text, or a list of typed parts."""
    if not isinstance(content, list):
        return _text(content), ""
    texts: dict[str, list[str]] = {"text": [], "thinking": []}
    for part in content:
        kind = part.get("type")
        if kind in texts:
            inner = part.get(kind)
            texts[kind].append(_parts(inner)[0])
    return "".join(texts["text"]), "".join(texts["thinking"])


def _reasoning(message: Mapping[str, Any]) -> str:
    """The reasoning field under whichever of its names the server uses."""
    for name in ("reasoning", "reasoning_content"):
        if text := _text(message.get(name)):
            return text
    details = message.get("reasoning_details")
    if not isinstance(details, list):
        return ""
    return "".join(_text(part.get("text")) for part in details if isinstance(part, dict))


def _logprobs(given: Any) -> tuple[TokenLogprob, ...] | None:
    if not isinstance(given, dict):
        return None
    if isinstance(given.get("content"), list):
        return tuple(
            TokenLogprob(
                entry["token"],
                float(entry["logprob"]),
                tuple(
                    (top["token"], float(top["logprob"])) for top in entry.get("top_logprobs") or ()
                ),
            )
            for entry in given["content"]
        )
    tokens = given.get("tokens")
    if not isinstance(tokens, list):
        return None
    tops = given.get("top_logprobs") or [None] * len(tokens)
    return tuple(
        TokenLogprob(token, float(logprob or 0.0), tuple((top or {}).items()))
        for token, logprob, top in zip(tokens, given["token_logprobs"], tops, strict=True)
    )


def _is_answer(choice: Choice) -> bool:
    if choice.finish_reason in _NO_ANSWER:
        return False
    return bool(choice.content.strip()) or choice.finish_reason == "length"


def _usage(given: Any) -> Usage:
    if not isinstance(given, dict):
        return Usage()
    cached = reasoning = None
    if isinstance(details := given.get("prompt_tokens_details"), dict):
        cached = _count(details.get("cached_tokens"))
    if isinstance(details := given.get("completion_tokens_details"), dict):
        reasoning = _count(details.get("reasoning_tokens"))
    prompt, completion = given.get("prompt_tokens"), given.get("completion_tokens")
    return Usage(_count(prompt), _count(completion), cached, reasoning)


def _count(value: Any) -> int | None:
    """A number of tokens that a server may be believed, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < _MOST_TOKENS else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
