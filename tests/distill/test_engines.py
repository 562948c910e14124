"""Signals from a server that answers with log probabilities, next to the same model's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from cotdistill.distill.capture import Capture, capture
from cotdistill.distill.settings import Teacher
from cotdistill.distill.signals.from_scores import ScoreEngine
from cotdistill.distill.signals.manifest import read_manifest
from cotdistill.distill.trainer.capture_engine import TransformersEngine
from cotdistill.errors import FaultsError
from cotdistill.hosts.prompt_logprobs import server_scores
from scripted_server import Script, serving
from tiny_models import build

ROWS = [([5, 9, 30, 41, 7], [-100, -100, 30, 41, 7]), ([8, 3, 77], [-100, 3, 77])]
K = 12


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    import transformers

    folder: Path = build(tmp_path_factory.mktemp("engine") / "teacher")
    return transformers.AutoModelForCausalLM.from_pretrained(folder).eval()


def answer(model: Any, body: dict[str, Any], most: int = 64) -> Any:
    """Answer as vLLM's server does: nothing for the first token, then k tokens and its own."""
    if body["prompt_logprobs"] > most:
        return 400
    ids = body["prompt"]
    with torch.no_grad():
        log_p = torch.log_softmax(model(input_ids=torch.tensor([ids])).logits[0].float(), -1)
    places: list[Any] = [None]
    for place, token in enumerate(ids[1:]):
        ranked = log_p[place].argsort(descending=True).tolist()
        kept = dict.fromkeys([*ranked[: body["prompt_logprobs"]], token])
        places.append(
            {
                str(one): {"logprob": float(log_p[place][one]), "rank": ranked.index(one) + 1}
                for one in kept
            }
        )
    return {"choices": [{"text": "", "prompt_logprobs": places}]}


def engine(server: Script, k: int = K, vocabulary: int = 300) -> ScoreEngine:
    return ScoreEngine(
        server.url, k, vocabulary, lambda prompts: server_scores(server.url, "m", prompts, k)
    )


def test_a_servers_answers_are_the_models_own_signals(model: Any) -> None:
    exact = TransformersEngine(model, 296, K, (1.0,)).score(ROWS)
    with serving(lambda body, _: answer(model, body)) as server:
        found = engine(server).score(ROWS)
    for ours, theirs in zip(found, exact, strict=True):
        assert (ours.ids == theirs.ids).all()
        for name in ("log_p", "tail", "chosen"):
            expected = getattr(theirs, name)
            assert np.allclose(getattr(ours, name), expected, atol=1e-4), name
    assert server.paths == ["/v1/completions"] * 2
    assert sorted(body["prompt"] for body in server.bodies) == sorted(ids for ids, _ in ROWS)
    assert all(body["max_tokens"] == 1 and "messages" not in body for body in server.bodies)


def test_ids_that_the_student_does_not_have_are_left_out(model: Any) -> None:
    with serving(lambda body, _: answer(model, body, most=300)) as server:
        with pytest.raises(FaultsError, match="tokens for a place; expected the 250 likeliest"):
            engine(server, k=250, vocabulary=240).score(ROWS)
        assert all((row.ids < 280).all() for row in engine(server, 8, 280).score(ROWS))


def test_a_server_that_is_busy_is_asked_again(model: Any) -> None:
    with serving(lambda body, seen: answer(model, body) if seen else 503) as server:
        assert len(engine(server).score(ROWS)) == 2
    assert len(server.bodies) == 4


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (400, "cannot be asked (status 400"),
        ({"choices": [{"text": ""}]}, "no prompt_logprobs in its answer"),
        ({"choices": [{"prompt_logprobs": [None]}]}, "1 token came back; expected 5"),
    ],
)
def test_a_server_that_cannot_do_it_is_one_message(reply: Any, message: str) -> None:
    with serving(lambda _body, _seen: reply) as server, pytest.raises(FaultsError) as caught:
        engine(server).score(ROWS[:1])
    assert message in str(caught.value)
    assert server.url in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_signals_at_a_temperature_hold_the_whole_sum(model: Any) -> None:
    (row, _) = TransformersEngine(model, 296, K, (1.0, 2.0)).score(ROWS)
    ids = torch.tensor([ROWS[0][0]])
    log_p = torch.log_softmax(model(input_ids=ids).logits[0, :, :296].float(), -1).detach()
    expected = torch.logsumexp(log_p[1:4] / 2, -1).numpy()
    assert np.allclose(row.log_z, expected[None], atol=1e-5)
    assert np.allclose(np.exp(row.log_p).sum(1) + np.exp(row.tail), 1.0, atol=1e-5)


def test_one_percent_of_the_rows_is_compared_between_engines_and_recorded(
    model: Any, tmp_path: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model.name_or_path)
    numbers = np.random.default_rng(0)
    rows = [
        {"input_ids": ids, "labels": [-100, *ids[1:]]}
        for ids in (numbers.integers(3, 280, size=6).tolist() for _ in range(200))
    ]

    def off(body: dict[str, Any]) -> Any:
        """Answer with one log probability that is 0.25 nats off, in every row."""
        reply = answer(model, body)
        token = str(body["prompt"][3])
        reply["choices"][0]["prompt_logprobs"][3][token]["logprob"] -= 0.25
        return reply

    wanted = Capture({}, Teacher(model="m"), tmp_path / "signals", "http://there/v1", K, batch=100)
    with serving(lambda body, _: off(body)) as server:
        capture(
            wanted, rows, tokenizer, lambda: engine(server, K, len(tokenizer)),
            lambda: TransformersEngine(model, len(tokenizer), K, (1.0,)),
        )  # fmt: skip
    found = read_manifest(tmp_path / "signals", "t").comparison
    assert found is not None
    assert (found.reference, found.rows, found.tokens) == ("transformers", 2, 10)
    assert found.largest_difference == pytest.approx(0.25, abs=0.02)
    assert found.mean_difference == pytest.approx(0.05, abs=0.02)
    assert found.same_likeliest == 1.0


def test_a_k_above_what_the_server_allows_says_how_to_start_it() -> None:
    reply = (
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 62\r\n\r\n"
        + (b'{"message":"Requested prompt logprobs of 32, allowed is 20.  "}'[:62])
    )
    with serving(lambda *_: reply) as server, pytest.raises(FaultsError) as caught:
        engine(server, k=32).score(ROWS[:1])
    assert "start the server with --max-logprobs of at least the k asked for" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
