"""transformers in this process, on a random tiny model: it answers nonsense, but by the rules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cotdistill.errors import FaultsError, MisuseError
from cotdistill.hosts.request import Reply, Request
from cotdistill.hosts.transformers import transformers_asker

pytestmark = [pytest.mark.host, pytest.mark.filterwarnings("ignore")]
HELLO = ({"role": "user", "content": "What is 2 + 2?"},)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    from cotdistill.models.scratch import Scratch
    from cotdistill.models.scratch_model import build_student

    folder = tmp_path_factory.mktemp("model") / "tiny"
    shape = Scratch(hidden_size=32, heads=2, layers=1, intermediate_size=64, context=128)
    build_student(shape, [f"What is {n} + {n}? It is {2 * n}." for n in range(50)], folder)
    return str(folder)


@pytest.fixture
def ask(model: str) -> Callable[..., list[Reply]]:
    def run(*requests: Request, **settings: Any) -> list[Reply]:
        found: dict[int, Reply] = {}
        transformers_asker(model, settings)(
            iter(requests), lambda request, reply: found.__setitem__(id(request), reply)
        )
        return [found[id(request)] for request in requests]

    return run


def test_a_seed_repeats_its_text_whatever_else_is_asked(
    model: str, ask: Callable[..., list[Reply]]
) -> None:
    def request(seed: int) -> Request:
        return Request(model, HELLO, random_seed=seed, temperature=1.0, max_tokens=12)

    texts = [reply.content for reply in ask(*(request(n % 5) for n in range(10)), batch_size=3)]
    assert texts[:5] == texts[5:]
    assert len(set(texts[:5])) > 1


def test_each_request_of_a_batch_has_its_own_settings(
    model: str, ask: Callable[..., list[Reply]]
) -> None:
    greedy = Request(model, HELLO, temperature=0, max_tokens=10)
    again = Request(model, HELLO, temperature=1.0, max_tokens=10, extra={"top_k": 1})
    nucleus = Request(model, HELLO, temperature=1.0, top_p=1e-6, max_tokens=10)
    least = Request(model, HELLO, temperature=1.0, max_tokens=10, extra={"min_p": 1.0})
    short = Request(model, HELLO, temperature=0, max_tokens=3)
    replies = ask(greedy, again, nucleus, least, short)
    assert len({reply.content for reply in replies[:4]}) == 1
    assert replies[0].content.startswith(replies[4].content)
    assert replies[4].finish_reason == "length"
    assert replies[4].usage.completion_tokens == 3


def test_a_stop_ends_the_text_and_is_not_in_it(model: str, ask: Callable[..., list[Reply]]) -> None:
    (whole,) = ask(Request(model, HELLO, temperature=0, max_tokens=12))
    stop = whole.content.strip()[3:5]
    (cut,) = ask(Request(model, HELLO, temperature=0, max_tokens=12, stop=(stop,)))
    assert cut.content == whole.content[: whole.content.index(stop)]
    assert cut.finish_reason == "stop"


def test_log_probabilities_come_with_their_alternatives(
    model: str, ask: Callable[..., list[Reply]]
) -> None:
    (reply,) = ask(Request(model, prompt="What is", temperature=0, max_tokens=4, logprobs=2))
    logprobs = reply.choices[0].logprobs
    assert logprobs is not None
    assert len(logprobs) == reply.usage.completion_tokens
    for token in logprobs:
        assert token.top[0] == (token.token, pytest.approx(token.logprob))
        assert token.top[0][1] >= token.top[1][1]


def test_several_samples_of_one_request_differ(model: str, ask: Callable[..., list[Reply]]) -> None:
    (reply,) = ask(Request(model, HELLO, n=4, random_seed=1, temperature=1.5, max_tokens=12))
    assert len(reply.choices) == 4
    assert len({choice.content for choice in reply.choices}) > 1


def test_a_prompt_that_does_not_fit_fails_alone(
    model: str, ask: Callable[..., list[Reply]]
) -> None:
    long = Request(model, prompt="What is 2 + 2? " * 100, max_tokens=4)
    fine = Request(model, prompt="What is", temperature=0, max_tokens=4)
    refused, answered = ask(long, fine)
    assert "the context 128" in refused.failure
    assert answered.content


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"extra": {"repetition_penalty": 2}}, "'repetition_penalty'"),
        ({"extra": {"response_format": {}}}, "'response_format'"),
        ({"model": "other"}, "model 'other'"),
        ({"max_tokens": 0}, "max_tokens 0"),
    ],
)
def test_what_it_cannot_honour_is_refused_before_anything_is_loaded(
    ask: Callable[..., list[Reply]], model: str, change: dict[str, Any], named: str
) -> None:
    given: dict[str, Any] = {"model": model, "messages": HELLO, **change}
    with pytest.raises(MisuseError, match=f"cannot honour {named}"):
        ask(Request(**given))


def test_settings_and_folders_that_are_wrong_are_named(tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match="no setting gpus; known: batch_size, device"):
        transformers_asker("m", {"gpus": 2})
    with pytest.raises(MisuseError, match="batch_size 0"):
        transformers_asker("m", {"batch_size": 0})
    missing = str(tmp_path / "none")
    asker = transformers_asker(missing)
    with pytest.raises(FaultsError, match="none: no tokenizer"):
        asker(iter([Request(missing, HELLO)]), lambda *_: None)
