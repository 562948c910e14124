"""vLLM in this process, on a stand-in: every field of a request arrives, or is refused."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from cotdistill.errors import MisuseError
from cotdistill.hosts.request import Choice, Reply, Request, TokenLogprob, Usage
from cotdistill.hosts.vllm import vllm_asker

MESSAGES = ({"role": "user", "content": "2+2?"},)


@dataclass
class SamplingParams:
    n: int = 1
    seed: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    stop: list[str] | None = None
    logprobs: int | None = None
    max_tokens: int = 16


class LLM:
    calls: ClassVar[list[tuple[str, list[Any], list[SamplingParams], dict[str, Any]]]] = []

    def __init__(self, model: str, **settings: Any) -> None:
        self.model, self.settings = model, settings

    def chat(self, chats: list[Any], sampling: list[Any], **more: Any) -> list[Any]:
        assert more.pop("use_tqdm") is False
        return self._answer("chat", chats, sampling, more)

    def generate(self, prompts: list[Any], sampling: list[Any], **more: Any) -> list[Any]:
        assert more.pop("use_tqdm") is False
        return self._answer("generate", prompts, sampling, more)

    def _answer(self, how: str, asked: list[Any], sampling: list[Any], more: Any) -> list[Any]:
        if any("too long" in str(one) for one in asked):
            raise ValueError("The decoder prompt (length 9000) is longer than the maximum")
        self.calls.append((how, asked, sampling, more))
        return [self._output(one) for one in sampling]

    def _output(self, sampling: SamplingParams) -> Any:
        here = {
            5: SimpleNamespace(logprob=-0.1, decoded_token="4"),
            6: SimpleNamespace(logprob=-3.0, decoded_token="5"),
        }
        one = SimpleNamespace(
            text="<think>two and two</think>4",
            token_ids=[5],
            finish_reason="stop",
            logprobs=[here] if sampling.logprobs is not None else None,
        )
        return SimpleNamespace(
            outputs=[one] * sampling.n, prompt_token_ids=[1, 2, 3], num_cached_tokens=2
        )


@pytest.fixture(autouse=True)
def vllm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    stand_in = types.ModuleType("vllm")
    stand_in.SamplingParams = SamplingParams  # type: ignore[attr-defined]
    stand_in.LLM = LLM  # type: ignore[attr-defined]
    stand_in.__spec__ = SimpleNamespace(name="vllm")  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "vllm", stand_in)
    LLM.calls = []
    return


def replies(*requests: Request) -> list[Reply]:
    taken: list[Reply] = []
    vllm_asker("m")(iter(requests), lambda _request, reply: taken.append(reply))
    return taken


def test_every_field_of_a_request_reaches_vllm() -> None:
    request = Request(
        "m", MESSAGES, n=2, random_seed=7, temperature=0.6, top_p=0.9, stop=("Q:",), logprobs=2,
        max_tokens=100, extra={"top_k": 5, "chat_template_kwargs": {"enable_thinking": True}},
    )  # fmt: skip
    (reply,) = replies(request)
    ((how, chats, sampling, more),) = LLM.calls
    assert (how, chats) == ("chat", [list(MESSAGES)])
    assert sampling == [SamplingParams(2, 7, 0.6, 0.9, 5, ["Q:"], 2, 100)]
    assert more == {"chat_template_kwargs": {"enable_thinking": True}}
    logprobs = (TokenLogprob("4", -0.1, (("4", -0.1), ("5", -3.0))),)
    assert reply.choices == (Choice("4", "two and two", "stop", logprobs),) * 2
    assert reply.usage == Usage(3, 2, 2)


def test_prompts_and_messages_in_one_batch_come_back_in_order() -> None:
    asked = [Request("m", prompt="2+2="), Request("m", MESSAGES), Request("m", prompt="3+3=")]
    assert [reply.content for reply in replies(*asked)] == ["4"] * 3
    assert [call[0] for call in LLM.calls] == ["generate", "chat", "generate"]


def test_what_vllm_cannot_honour_is_refused_before_a_model_is_loaded() -> None:
    with pytest.raises(MisuseError, match=r"honour model 'x' \(it holds 'm'\), 'response_format'"):
        replies(Request("x", MESSAGES, extra={"response_format": {"type": "json_object"}}))
    with pytest.raises(MisuseError, match="'chat_template_kwargs'; use a server"):
        replies(Request("m", prompt="2+2=", extra={"chat_template_kwargs": {}}))
    assert LLM.calls == []


def test_a_prompt_that_does_not_fit_fails_alone() -> None:
    asked = [Request("m", prompt=text) for text in ("2+2=", "too long", "3+3=")]
    found = replies(*asked)
    assert [reply.content for reply in found] == ["4", "", "4"]
    assert "longer than the maximum" in found[1].failure
