"""Requests and replies as values: what is sent, and what is read of every server's dialect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cotdistill.hosts.request import Choice, Reply, Request, TokenLogprob, Usage, read_reply

CHAT = Request("m", ({"role": "user", "content": "2+2?"},))
PROMPT = Request("m", prompt="2+2=")


def reply(body: Any, request: Request = CHAT) -> Reply:
    return read_reply(json.dumps(body).encode(), request)


def message(finish_reason: str | None = "stop", **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": fields, "finish_reason": finish_reason}]}


def test_every_field_of_a_request_is_sent_under_its_openai_name() -> None:
    request = Request(
        "m",
        CHAT.messages,
        n=3,
        random_seed=7,
        temperature=0.6,
        top_p=0.95,
        stop=("\n\n", "Q:"),
        logprobs=5,
        max_tokens=100,
        extra={"chat_template_kwargs": {"enable_thinking": False}},
    )
    assert json.loads(request.encoded) == {
        "model": "m",
        "messages": [{"role": "user", "content": "2+2?"}],
        "n": 3,
        "seed": 7,
        "temperature": 0.6,
        "top_p": 0.95,
        "stop": ["\n\n", "Q:"],
        "logprobs": True,
        "top_logprobs": 5,
        "max_tokens": 100,
        "chat_template_kwargs": {"enable_thinking": False},
    }
    completion = Request("m", prompt="2+2=", logprobs=0, random_seed=0)
    assert completion.body() == {"model": "m", "prompt": "2+2=", "logprobs": 0, "seed": 0}


def test_equal_requests_have_one_digest_and_any_difference_another() -> None:
    assert CHAT.digest == Request("m", ({"content": "2+2?", "role": "user"},)).digest
    others = [
        Request("m2", CHAT.messages),
        Request("m", CHAT.messages, random_seed=0),
        Request("m", CHAT.messages, temperature=0),
        Request("m", CHAT.messages, extra={"top_k": 1}),
        PROMPT,
    ]
    assert len({CHAT.digest, *(other.digest for other in others)}) == 6


def test_half_a_surrogate_is_sent_as_an_escape() -> None:
    assert b'"\\ud800"' in Request("m", prompt="\ud800").encoded


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({}, "either messages or a prompt"),
        ({"messages": CHAT.messages, "prompt": ""}, "either messages or a prompt"),
        ({"prompt": "a", "extra": {"seed": 1, "n": 2}}, "extra repeats n, seed"),
    ],
)
def test_a_request_that_contradicts_itself_is_refused(fields: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Request("m", **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"content": "4", "reasoning": "2 and 2"},
        {"content": "4", "reasoning_content": "2 and 2", "reasoning": None},
        {"content": "4", "reasoning_details": [{"type": "reasoning.text", "text": "2 and 2"}]},
        {"content": "<think>\n2 and 2\n</think>\n\n4"},
        {"content": "2 and 2\n</think>\n\n4"},
        {"content": "<think>2 and 2</think>\n<think></think>4"},
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "2 and 2"}]},
                {"type": "text", "text": "4"},
            ]
        },
    ],
)
def test_reasoning_is_kept_apart_under_whichever_name_a_server_gives_it(
    fields: dict[str, Any],
) -> None:
    (choice,) = reply(message(**fields)).choices
    assert (choice.content, choice.reasoning) == ("4", "2 and 2")


def test_tags_inside_an_answer_are_left_alone() -> None:
    text = "The tags are <think> and </think>."
    assert reply(message(content=text)).choices == (Choice(text, "", "stop"),)


def test_all_choices_come_back_in_their_order() -> None:
    body = {
        "choices": [
            {"index": 1, "message": {"content": "b"}, "finish_reason": "length"},
            {"index": 0, "message": {"content": "a"}, "finish_reason": "stop"},
        ]
    }
    request = Request("m", CHAT.messages, n=2)
    assert reply(body, request).choices == (Choice("a", "", "stop"), Choice("b", "", "length"))
    assert (
        "2 responses came back, 3 were asked for"
        in reply(body, Request("m", prompt="", n=3)).failure
    )


def test_log_probabilities_of_both_shapes_are_read_alike() -> None:
    chat = {
        "content": [
            {
                "token": "4",
                "logprob": -0.1,
                "top_logprobs": [{"token": "4", "logprob": -0.1}, {"token": "5", "logprob": -2.5}],
            }
        ]
    }
    old = {"tokens": ["4"], "token_logprobs": [-0.1], "top_logprobs": [{"4": -0.1, "5": -2.5}]}
    wanted = (TokenLogprob("4", -0.1, (("4", -0.1), ("5", -2.5))),)
    read = reply({"choices": [{"message": {"content": "4"}, "logprobs": chat}]})
    assert read.choices[0].logprobs == wanted
    read = reply({"choices": [{"text": "4", "logprobs": old}]}, PROMPT)
    assert read.choices[0].logprobs == wanted
    assert reply(message(content="4")).choices[0].logprobs is None


def test_usage_model_and_fingerprint_are_kept() -> None:
    usage = {
        "prompt_tokens": 12,
        "completion_tokens": 30,
        "prompt_tokens_details": {"cached_tokens": 8},
        "completion_tokens_details": {"reasoning_tokens": 25},
    }
    read = reply(
        {**message(content="4"), "usage": usage, "model": "m-0613", "system_fingerprint": "f"}
    )
    assert read.usage == Usage(12, 30, 8, 25)
    assert (read.model, read.fingerprint) == ("m-0613", "f")


@pytest.mark.parametrize(
    "usage",
    [
        '{"prompt_tokens": Infinity, "completion_tokens": NaN}',
        '{"prompt_tokens": -14000000, "completion_tokens": true}',
        f'{{"prompt_tokens": 1{"0" * 4200}, "completion_tokens": "many"}}',
        "[]",
        "7",
    ],
)
def test_token_counts_that_cannot_be_are_not_believed(usage: str) -> None:
    data = f'{{"choices": [{{"message": {{"content": "4"}}}}], "usage": {usage}}}'
    assert read_reply(data.encode(), CHAT) == Reply((Choice("4"),))


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        (message(content=None), "an empty reply (finish_reason stop)"),
        (message(content="", reasoning="hm"), "an empty reply (finish_reason stop)"),
        (message("tool_calls", content=None, tool_calls=[{}]), "(finish_reason tool_calls)"),
        (message("content_filter", content="The"), "(finish_reason content_filter)"),
        (message(content=None, refusal="I cannot help."), "(finish_reason refusal)"),
        ({"choices": []}, "0 responses came back"),
        ({"choices": [None]}, "not a completion"),
        ({"choices": None}, "not a completion"),
        ({"error": "busy"}, 'not a completion: {"error": "busy"}'),
        ([], "not a completion"),
    ],
)
def test_what_answers_nothing_is_a_failure(body: Any, failure: str) -> None:
    assert failure in reply(body).failure


def test_a_thought_that_was_cut_off_is_an_answer_without_content() -> None:
    read = reply(message("length", content="<think>2 and 2 is"))
    assert read == Reply((Choice("", "2 and 2 is", "length"),))


@pytest.mark.parametrize(
    "data",
    [b"", b"<html>", b"\xff\xfe", b'{"a":' * 100_000, b"[" * 100_000, b"9" * 1_000_000, b"null"],
)
def test_bytes_that_are_no_completion_are_one_failure(data: bytes) -> None:
    assert read_reply(data, CHAT).failure.startswith("not a completion")
