"""The judge without a server: vLLM in this process, on this machine's own devices."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from cotdistill.errors import Fault, FaultsError, MisuseError
from cotdistill.hosts.endpoint import Reply, Request

_AT_ONCE = 512


def vllm_asker(
    model: str, settings: dict[str, Any] | None = None
) -> Callable[[Iterator[Request], Callable[[Request, Reply], None]], None]:
    """Return what asks a model that vLLM loads when the first question comes, and not before.

    `settings` go to vLLM's engine as they are (tensor_parallel_size, max_model_len, dtype ...).

    Raises:
        MisuseError: vLLM is not installed in this environment.
    """
    if importlib.util.find_spec("vllm") is None:
        raise MisuseError(
            "vLLM is not installed here; pip install 'cotdistill[serve]' in an environment of its "
            "own, or give the --endpoint of a server"
        )

    def ask(requests: Iterator[Request], take: Callable[[Request, Reply], None]) -> None:
        engine = None
        while batch := list(islice(requests, _AT_ONCE)):
            engine = engine or _engine(model, settings or {})
            for request, reply in zip(batch, _replies(engine, batch), strict=True):
                take(request, reply)

    return ask


def _engine(model: str, settings: dict[str, Any]) -> Any:
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")  # stdout is for results
    from vllm import LLM

    try:
        return LLM(model=model, **settings)
    except Exception as error:  # the engine raises its own kinds for memory, files and settings
        words = " ".join(str(error).split())[:300]
        raise FaultsError(Fault(f"vLLM {model}", f"cannot be loaded ({words})")) from error


def _replies(engine: Any, batch: list[Request]) -> list[Reply]:
    from vllm import SamplingParams

    bodies = [json.loads(request.body) for request in batch]
    sampling = [SamplingParams(temperature=0, max_tokens=body["max_tokens"]) for body in bodies]
    chats = [body["messages"] for body in bodies]
    done = engine.chat(chats, sampling, use_tqdm=False)
    return [
        Reply(
            text=one.outputs[0].text,
            finish_reason=str(one.outputs[0].finish_reason or ""),
            prompt_tokens=len(one.prompt_token_ids or ()),
            reply_tokens=len(one.outputs[0].token_ids),
        )
        for one in done
    ]
