"""Other programs that ask a server many things: one of them, and how fast it was, as JSON.

python peers.py openai|datatrove|curator PORT CONCURRENCY COUNT   # in the environment of peers.txt
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

WORDS = "First the parts are added and then the sum is divided by what is left of them. " * 20


def asked(ask: Callable[[str], Awaitable[Any]], concurrency: int, prompts: list[str]) -> None:
    """Ask all prompts, so many at once."""
    left = iter(prompts)

    async def work() -> None:
        for prompt in left:
            await ask(prompt)

    async def main() -> None:
        await asyncio.gather(*(work() for _ in range(concurrency)))

    asyncio.run(main())


def openai(url: str, concurrency: int, prompts: list[str]) -> None:
    """Ask with the SDK's asynchronous client."""
    from openai import AsyncOpenAI

    client = AsyncOpenAI(api_key="x", base_url=url, max_retries=0)

    def ask(prompt: str) -> Awaitable[Any]:
        message: Any = {"role": "user", "content": prompt}
        return client.chat.completions.create(model="m", messages=[message], max_tokens=1024)

    asked(ask, concurrency, prompts)


def datatrove(url: str, concurrency: int, prompts: list[str]) -> None:
    """Ask with what its inference runner sends requests to an endpoint with; it keeps nothing."""
    from datatrove.pipeline.inference.servers.endpoint_server import EndpointServer

    settings: Any = SimpleNamespace(endpoint_url=url.removesuffix("/v1"), use_chat=True)
    made: list[Any] = []

    async def ask(prompt: str) -> Any:
        if not made:
            made.append(EndpointServer(settings, 0))
        message = {"role": "user", "content": prompt}
        return await made[0]._make_request({"model": "m", "messages": [message]})

    asked(ask, concurrency, prompts)


def curator(url: str, concurrency: int, prompts: list[str]) -> None:
    """Ask with its `LLM`, its limits out of the way."""
    import litellm

    tokenizers = Path(litellm.__file__).parent / "litellm_core_utils" / "tokenizers"
    os.environ |= {
        "OPENAI_API_KEY": "x",
        "CURATOR_CACHE_DIR": tempfile.mkdtemp(),
        "CURATOR_DISABLE_CACHE": "1",
        "CURATOR_DISABLE_RICH_DISPLAY": "1",
        "TELEMETRY_ENABLED": "0",
        "TIKTOKEN_CACHE_DIR": str(tokenizers),
    }
    from bespokelabs import curator as package

    limits = {"max_requests_per_minute": 10**7, "max_tokens_per_minute": 10**10}
    settings = {"base_url": url, "max_concurrent_requests": concurrency, **limits}
    package.LLM(model_name="m", backend="openai", backend_params=settings)(prompts)


def main(name: str, port: str, concurrency: str, count: str) -> None:
    """Ask, and print how fast it was."""
    peers = {"openai": openai, "datatrove": datatrove, "curator": curator}
    packages = {"curator": "bespokelabs-curator"}
    url, prompts = f"http://127.0.0.1:{port}/v1", [f"{n}: {WORDS}" for n in range(int(count))]
    peers[name](url, int(concurrency), prompts[:64])  # imports and connections
    start, cpu = time.perf_counter(), time.process_time()
    peers[name](url, int(concurrency), prompts)
    seconds, used = time.perf_counter() - start, time.process_time() - cpu
    version = importlib.metadata.version(packages.get(name, name))
    rate, each = int(count) / seconds, 1000 * used / int(count)
    sys.stdout.write(json.dumps({"version": version, "rate": rate, "cpu": each}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
