"""Requests that are named by what they ask, and the answers that become of them."""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from cotdistill.errors import MisuseError
from cotdistill.files.jsonl import json_bytes
from cotdistill.hosts.request import Reply, Request

_FORM = 2  # of an identity; another number means that old replies are not the same any more
_CHARACTERS_A_TOKEN = 4
_REFUSALS = frozenset({"content_filter", "refusal"})

Api = Literal["chat", "completions"]
_WAYS_OUT = {
    "max_completion_tokens": "--openai-reasoning sends --max-tokens under this name",
    "max_tokens": "--max-tokens sets it",
    "stream": "--stream on sets it",
    "best_of": "-k asks for several samples, each in a request of its own",
    "n": "-k asks for several samples, each in a request of its own",
}
"""What `extra` must not hold, as it would change what a reply is, and how to ask for it."""
NOT_FOR_REASONING = ("temperature", "top_p", "stop", "thinking")
"""What OpenAI's reasoning models refuse, or what only chat templates know."""
State = Literal["kept", "cut", "refused", "failed", "open"]
"""kept: a whole text. cut: it ended at its allowance. refused: the model or its filter declined.
failed: no reply, or an empty one. open: it was not asked, or is not answered yet."""


@dataclass(frozen=True)
class Decoding:
    """How a model is sampled; None leaves a parameter to the backend.

    `seed` makes all samples other ones; each sample's own seed follows from it, from what is asked
    and from the sample's number. `extra` holds further keys of the request's body. `api`
    completions sends messages as one text, with blank lines between, for base models.
    `openai_reasoning` names the maximum of tokens as OpenAI's reasoning models want it; they refuse
    what `NOT_FOR_REASONING` names.

    Raises:
        MisuseError: `extra` repeats a parameter, or parameters exclude each other.
    """

    model: str
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    seed: int | None = None
    thinking: bool | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    api: Api = "chat"
    openai_reasoning: bool = False

    def __post_init__(self) -> None:
        if refused := [f"{name}: {_WAYS_OUT[name]}" for name in _WAYS_OUT if name in self.extra]:
            raise MisuseError(f"--extra: {'; '.join(refused)}")
        if self.openai_reasoning and self.api == "completions":
            raise MisuseError("OpenAI's reasoning models answer chat only, not completions")
        if self.openai_reasoning and (
            refused := [f"--{name.replace('_', '-')}" for name in NOT_FOR_REASONING
                        if getattr(self, name) not in (None, ())]
        ):  # fmt: skip
            raise MisuseError(
                f"OpenAI's reasoning models take no {', '.join(refused)}; leave that out"
            )
        if self.api == "completions" and self.thinking is not None:
            raise MisuseError("thinking is switched by a chat template, which completions has not")
        try:
            Request(self.model, prompt="", extra=self.extra)
        except ValueError as error:
            raise MisuseError(f"--extra: {error}; it has an option of its own") from error

    def described(self) -> dict[str, Any]:
        """Return what is known of it, for a trace's provenance."""
        given = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "stop": list(self.stop) or None,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
            "thinking": self.thinking,
            "api": self.api if self.api != "chat" else None,
            **self.extra,
        }
        return {name: value for name, value in given.items() if value is not None}


def request_of(
    decoding: Decoding,
    messages: Sequence[Mapping[str, Any]] = (),
    *,
    prompt: str | None = None,
    sample: int = 0,
    round_: int = 0,
    extra: Mapping[str, Any] | None = None,
) -> Request:
    """Return one sample's request; its key names what is asked, and not where or how long.

    Raises:
        ValueError: `extra` repeats a field of the request.
    """
    if prompt is None and decoding.api == "completions":
        prompt, messages = "\n\n".join(str(turn["content"]) for turn in messages), ()
    further = {**decoding.extra, **(extra or {})}
    if decoding.thinking is not None:
        given = dict(further.get("chat_template_kwargs") or {})
        further["chat_template_kwargs"] = {"enable_thinking": decoding.thinking, **given}
    asked = {
        "form": _FORM,
        "model": decoding.model,
        "messages": list(messages),
        "prompt": prompt,
        "temperature": decoding.temperature,
        "top_p": decoding.top_p,
        "stop": list(decoding.stop),
        "seed": decoding.seed,
        "extra": further,
    }
    whole = hashlib.sha256(b"%s\0%d\0%d" % (json_bytes(asked), sample, round_)).hexdigest()
    return Request(
        decoding.model,
        tuple(messages),
        prompt=prompt,
        random_seed=int(whole[40:48], 16) >> 1,
        temperature=decoding.temperature,
        top_p=decoding.top_p,
        stop=decoding.stop,
        max_tokens=decoding.max_tokens,
        as_completion_tokens=decoding.openai_reasoning,
        extra=further,
        key=whole[:40],
    )


class Ask(NamedTuple):
    """A request and the name of the backend that it is for."""

    request: Request
    backend: str = ""


class Answer(NamedTuple):
    """What became of one request; `batched`: it came through a batch file, at another price.

    `attempts` is how often it was sent until a server answered, 0 where that is unknown; `asked_at`
    is when its reply was kept, in UTC.
    """

    key: str
    state: State
    text: str = ""
    reasoning: str = ""
    finish_reason: str = ""
    why: str = ""
    served_model: str = ""
    fingerprint: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    batched: bool = False
    attempts: int = 0
    asked_at: str = ""


def record_of(
    request: Request, reply: Reply, backend: str = "", *, batched: bool = False
) -> dict[str, Any]:
    """Return a reply as it is kept: everything that a trace or a bill may need later."""
    choice = reply.choices[0]
    usage = reply.usage
    written = len(choice.content) + len(choice.reasoning)
    record = {
        "text": choice.content,
        "reasoning": choice.reasoning,
        "finish_reason": choice.finish_reason,
        "model": reply.model,
        "fingerprint": reply.fingerprint,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_tokens": usage.cached_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "attempts": reply.attempts,
        "backend": backend,
        "batched": batched or None,
        "asked_at": _stamp(int(time.time())),
    }
    if usage.prompt_tokens is None:
        record["prompt_tokens"] = len(request.encoded) // _CHARACTERS_A_TOKEN
    if usage.completion_tokens is None:
        record["completion_tokens"] = max(1, written // _CHARACTERS_A_TOKEN)
    return {name: value for name, value in record.items() if value not in (None, "")}


@functools.lru_cache(maxsize=1)
def _stamp(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat(timespec="seconds")


def answer_of(key: str, record: Mapping[str, Any], cut: bool) -> Answer:
    """Return the answer that a record is; one that was cut, refused or is empty is no row."""
    finish = str(record.get("finish_reason") or "")
    text = str(record.get("text") or "")
    state: State = "kept"
    why = ""
    if cut:
        state, why = "cut", "it ended at its maximum of tokens"
    elif finish in _REFUSALS:
        state, why = "refused", f"the model declined (finish_reason {finish})"
    elif not text.strip():
        state, why = "failed", f"an empty reply (finish_reason {finish or 'unknown'})"
    return Answer(
        key,
        state,
        text,
        str(record.get("reasoning") or ""),
        finish,
        why,
        str(record.get("model") or ""),
        str(record.get("fingerprint") or ""),
        int(record.get("prompt_tokens") or 0),
        int(record.get("completion_tokens") or 0),
        int(record.get("cached_tokens") or 0),
        int(record.get("reasoning_tokens") or 0),
        bool(record.get("batched")),
        int(record.get("attempts") or 0),
        str(record.get("asked_at") or ""),
    )
