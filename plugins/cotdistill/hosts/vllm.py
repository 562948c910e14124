"""Ask a model without a server: vLLM in this process, on this machine's own devices."""

from __future__ import annotations

import importlib.util
import inspect
import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from cotdistill.errors import Fault, FaultsError, MisuseError
from cotdistill.hosts.in_process import CHAT_EXTRA, batch_asker, refuse_unknown
from cotdistill.hosts.request import (
    Asker,
    Choice,
    Reply,
    Request,
    TokenLogprob,
    Usage,
    answer_fault,
    split_thought,
)

_AT_ONCE = 512


def vllm_asker(model: str, settings: dict[str, Any] | None = None) -> Asker:
    """Return what asks a model that vLLM loads when the first request comes, and not before.

    `settings` go to vLLM's engine as they are (tensor_parallel_size, max_model_len, dtype ...).
    Of a request's `extra`, vLLM's sampling parameters and the settings of the chat template are
    honoured; anything else is refused.

    Raises:
        MisuseError: vLLM is not installed in this environment, or cannot honour a request.
    """
    if importlib.util.find_spec("vllm") is None:
        raise MisuseError(
            "vLLM is not installed here; pip install 'cotdistill[serve]' in an environment of its "
            "own, or give the --endpoint of a server"
        )

    return batch_asker(
        _AT_ONCE,
        lambda batch: refuse_unknown("vLLM in this process", model, batch, _sampling_parameters()),
        lambda: _engine(model, settings or {}),
        _replies,
    )


def _sampling_parameters() -> frozenset[str]:
    from vllm import SamplingParams

    return frozenset(inspect.signature(SamplingParams).parameters)


def _engine(model: str, settings: dict[str, Any]) -> Any:
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")  # stdout is for results
    from vllm import LLM

    try:
        return LLM(model=model, **settings)
    except Exception as error:  # the engine raises its own kinds for memory, files and settings
        words = " ".join(str(error).split())[:300]
        raise FaultsError(Fault(f"vLLM {model}", f"cannot be loaded ({words})")) from error


def _replies(engine: Any, batch: Sequence[Request]) -> Iterator[Reply]:
    """The replies to a batch, in its order; neighbours that need the same call share one."""
    for _, neighbours in groupby(batch, key=lambda one: (one.is_chat, repr(_chat_extra(one)))):
        yield from _replies_to_alike(engine, list(neighbours))


def _replies_to_alike(engine: Any, batch: list[Request]) -> Iterator[Reply]:
    is_chat = batch[0].is_chat
    ask = engine.chat if is_chat else engine.generate
    inputs = [list(request.messages) if is_chat else request.prompt for request in batch]
    sampling = [_sampling(request) for request in batch]
    try:
        outputs = ask(inputs, sampling, use_tqdm=False, **_chat_extra(batch[0]))
    except ValueError as error:  # one prompt that does not fit refuses the whole batch
        if len(batch) > 1:
            for request in batch:
                yield from _replies_to_alike(engine, [request])
        else:
            yield Reply(failure=" ".join(str(error).split())[:300])
        return
    for request, output in zip(batch, outputs, strict=True):
        yield _reply(request, output)


def _chat_extra(request: Request) -> dict[str, Any]:
    if not request.is_chat:
        return {}
    return {name: value for name, value in request.extra.items() if name in CHAT_EXTRA}


def _sampling(request: Request) -> Any:
    from vllm import SamplingParams

    given = {
        "n": request.n,
        "seed": request.random_seed,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "stop": list(request.stop) or None,
        "logprobs": request.logprobs,
        "max_tokens": request.max_tokens,
    }
    extra = {k: v for k, v in request.extra.items() if k not in _chat_extra(request)}
    return SamplingParams(**{k: v for k, v in given.items() if v is not None}, **extra)


def _reply(request: Request, output: Any) -> Reply:
    choices = tuple(_choice(one) for one in output.outputs)
    return Reply(
        choices,
        failure=answer_fault(choices, request),
        usage=Usage(
            prompt_tokens=len(output.prompt_token_ids or ()),
            completion_tokens=sum(len(one.token_ids) for one in output.outputs),
            cached_tokens=getattr(output, "num_cached_tokens", None),
        ),
        model=request.model,
    )


def _choice(output: Any) -> Choice:
    content, reasoning = split_thought(output.text)
    return Choice(content, reasoning, str(output.finish_reason or ""), _logprobs(output))


def _logprobs(output: Any) -> tuple[TokenLogprob, ...] | None:
    if output.logprobs is None:
        return None
    return tuple(
        TokenLogprob(
            token=here[token].decoded_token or "",
            logprob=here[token].logprob,
            top=tuple((one.decoded_token or "", one.logprob) for one in here.values()),
        )
        for token, here in zip(output.token_ids, output.logprobs, strict=True)
    )
