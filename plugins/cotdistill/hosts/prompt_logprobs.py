"""Ask vLLM for the log probabilities of given tokens: in this process, or over HTTP.

vLLM scores a prompt of token ids and answers, for each of its tokens but the first, with the k
likeliest tokens in its place and the token itself. Chat requests are never used: the server would
apply its template to what has one already.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cotdistill.errors import Fault, FaultsError, MisuseError
from cotdistill.hosts.http_post import RawReply, TooLongError, TransportError, transport_for
from cotdistill.hosts.request import shown
from cotdistill.tables import counted

Scores = list[dict[int, tuple[float, int]] | None]
"""For each token of a prompt: {token id: (log probability, rank)}, or None where there is none."""

_ATTEMPTS = 4
_FIRST_WAIT = 0.5
_PATIENCE = 600.0  # seconds that one prompt may take, queueing included
_AT_ONCE = 8
_BYTES_AN_ENTRY = 160
_SMALLEST_REPLY = 1 << 20


def server_scores(
    url: str, model: str, prompts: Sequence[Sequence[int]], k: int, key: str | None = None
) -> Iterator[Scores]:
    """Yield what a vLLM server answers for each prompt of token ids, in order.

    Raises:
        FaultsError: the server cannot be reached, refuses, or answers something else.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(lambda ids: _asked(url, model, ids, k, key), prompts)


def engine_scores(engine: Any, prompts: Sequence[Sequence[int]], k: int) -> Iterator[Scores]:
    """Yield the same from a vLLM engine in this process (`scoring_engine`)."""
    from vllm import SamplingParams

    sampling = SamplingParams(max_tokens=1, prompt_logprobs=k, detokenize=False, temperature=0.0)
    given = [{"prompt_token_ids": list(ids)} for ids in prompts]
    for output in engine.generate(given, sampling, use_tqdm=False):
        yield [
            None if place is None else {
                int(token): (float(entry.logprob), int(entry.rank or 0))
                for token, entry in place.items()
            }
            for place in output.prompt_logprobs
        ]  # fmt: skip


def scoring_engine(model: str, k: int, revision: str | None = None) -> Any:
    """Load vLLM so that it can answer with k log probabilities of raw logits for each token.

    Raises:
        MisuseError: vLLM is not installed in this environment.
        FaultsError: it cannot load the model.
    """
    if importlib.util.find_spec("vllm") is None:
        raise MisuseError(
            "vLLM is not installed here; pip install 'cotdistill[serve]' in an environment of its "
            "own, or give the --endpoint of a server"
        )
    from vllm import LLM

    try:
        return LLM(
            model=model, revision=revision, max_logprobs=k, logprobs_mode="raw_logprobs",
            enable_prefix_caching=False, max_num_batched_tokens=2048, gpu_memory_utilization=0.8,
        )  # fmt: skip
    except Exception as error:  # the engine raises its own kinds for memory, files and settings
        words = " ".join(str(error).split())[:300]
        raise FaultsError(Fault(f"vLLM {model}", f"cannot be loaded ({words})")) from error


def _asked(url: str, model: str, ids: Sequence[int], k: int, key: str | None) -> Scores:
    body = {
        "model": model, "prompt": list(ids), "max_tokens": 1, "temperature": 0,
        "prompt_logprobs": k, "return_tokens_as_token_ids": True,
    }  # fmt: skip
    headers = {"Content-Type": "application/json"}
    headers |= {"Authorization": f"Bearer {key}"} if key else {}
    limit = _SMALLEST_REPLY + len(ids) * (k + 1) * _BYTES_AN_ENTRY
    reply = asyncio.run(_posted(url, json.dumps(body).encode(), headers, limit))
    try:
        places = json.loads(reply.body)["choices"][0]["prompt_logprobs"]
        found: Scores = [None if place is None else _entries(place) for place in places]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        wrong = f"no prompt_logprobs in its answer: {shown(reply.body)}"
        remedy = "capture asks vLLM's server, which has them"
        raise FaultsError(Fault(url, wrong, "a completion with prompt_logprobs", remedy)) from error
    if len(found) != len(ids):
        wrong = f"{counted(len(found), 'token')} came back"
        remedy = "the server must take token ids as they are"
        raise FaultsError(Fault(url, wrong, f"{len(ids)}, as were sent", remedy))
    return found


async def _posted(
    url: str, body: bytes, headers: Mapping[str, str], limit: int
) -> RawReply:  # fmt: skip
    transport = transport_for(f"{url.rstrip('/')}/completions", headers)
    why = ""
    try:
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(_FIRST_WAIT * 2 ** (attempt - 1))
            try:
                reply = await transport.post(body, limit, _PATIENCE)
            except TimeoutError:
                why = f"no reply within {_PATIENCE:g} s"
                continue
            except (TransportError, TooLongError) as error:
                why = str(error)
                continue
            if reply.status == 200:
                return reply
            why = f"status {reply.status}: {shown(reply.body)}"
            if reply.status < 500 and reply.status != 429:
                break
    finally:
        await transport.close()
    remedy = ""
    if "logprobs" in why:
        remedy = "start the server with --max-logprobs of at least the k asked for"
    raise FaultsError(Fault(url, f"cannot be asked ({why})", "a vLLM server", remedy))


def _entries(place: Mapping[str, Any]) -> dict[int, tuple[float, int]]:
    return {
        int(token.removeprefix("token_id:")): (float(entry["logprob"]), int(entry.get("rank") or 0))
        for token, entry in place.items()
    }
