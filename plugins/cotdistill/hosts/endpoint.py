"""Ask an OpenAI-compatible chat endpoint many things at once, patiently and within a budget.

What a server does wrong is expected: it is busy (429, Retry-After), fails (5xx), hangs, cuts the
connection or answers nonsense. Such a request is asked again, later each time; one that still
fails is handed back as a failure and never stops the others, unless the server is plainly gone.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cotdistill.errors import Fault, FaultsError, MisuseError

if TYPE_CHECKING:
    import aiohttp

_BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_LONGEST_ASKED = 3600.0
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_REFUSED = frozenset({401, 403, 404, 405})


class EndpointError(FaultsError):
    """The endpoint is gone, or refuses everything."""


@dataclass(frozen=True)
class Endpoint:
    """Where to ask, as whom, and how patiently.

    Units: seconds. `first_wait` doubles with each attempt up to `longest_wait`.
    """

    url: str
    key: str | None = None
    concurrency: int = 32
    timeout: float = 300.0
    attempts: int = 6
    first_wait: float = 0.5
    longest_wait: float = 60.0

    @property
    def address(self) -> str:
        """The full address of chat completions."""
        base = self.url.rstrip("/")
        return base if base.endswith("/chat/completions") else f"{base}/chat/completions"


@dataclass(frozen=True)
class Request:
    """One thing to ask: a name to find the reply by, and the JSON that is sent."""

    name: str
    body: bytes


@dataclass(frozen=True)
class Reply:
    """What came back: the text and what it cost, or why there is none (`failure`)."""

    text: str
    failure: str = ""
    finish_reason: str = ""
    prompt_tokens: int = 0
    reply_tokens: int = 0


def ask_all(
    endpoint: Endpoint, requests: Iterator[Request], take: Callable[[Request, Reply], None]
) -> None:
    """Ask everything that an iterator yields, `concurrency` at a time, and pass on each reply.

    `requests` is drawn from only as answers come in, so a generator may stop when a budget is
    spent; `take` is called as replies arrive, in no order.

    Raises:
        EndpointError: the endpoint refuses the key, the model or the address, or does not answer.
        MisuseError: aiohttp is not installed.
    """
    if importlib.util.find_spec("aiohttp") is None:
        raise MisuseError("aiohttp is not installed; pip install 'cotdistill[judge]'")
    try:
        asyncio.run(_Conversation(endpoint, requests, take).run())
    except ExceptionGroup as group:
        raise _first(group) from group


def _first(group: ExceptionGroup[Exception]) -> Exception:
    error: Exception = group
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


class _Conversation:
    def __init__(
        self,
        endpoint: Endpoint,
        requests: Iterator[Request],
        take: Callable[[Request, Reply], None],
    ) -> None:
        self._endpoint = endpoint
        self._requests = requests
        self._take = take
        self._not_before = 0.0
        self._lost_in_a_row = 0
        self._random = random.Random(0)  # spreads retries; decides nothing else
        self._clock: Callable[[], float] = lambda: 0.0

    async def run(self) -> None:
        import aiohttp

        self._clock = asyncio.get_running_loop().time
        headers = {"Content-Type": "application/json"}
        if self._endpoint.key:
            headers["Authorization"] = f"Bearer {self._endpoint.key}"
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._endpoint.concurrency),
                timeout=aiohttp.ClientTimeout(total=self._endpoint.timeout),
                headers=headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=urlsplit(self._endpoint.url).hostname not in _LOOPBACK,  # its proxy
            ) as session,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(self._endpoint.concurrency):
                group.create_task(self._work(session))

    async def _work(self, session: aiohttp.ClientSession) -> None:
        following = next(self._requests, None)
        while (request := following) is not None:
            asking = asyncio.ensure_future(self._ask(session, request))
            try:
                await asyncio.sleep(0)  # it is on its way; the next is made while the server works
                following = next(self._requests, None)
                reply = await asking
            finally:
                asking.cancel()
            self._lost_in_a_row = self._lost_in_a_row + 1 if reply.failure else 0
            self._take(request, reply)
            if self._lost_in_a_row >= max(8, self._endpoint.concurrency):
                wrong = f"{self._lost_in_a_row} requests in a row failed, last: {reply.failure}"
                remedy = "is the server up? what was answered is kept; run it again"
                raise EndpointError(Fault(self._endpoint.address, wrong, "", remedy))

    async def _ask(self, session: aiohttp.ClientSession, request: Request) -> Reply:
        import aiohttp

        failure = ""
        for attempt in range(self._endpoint.attempts):
            while (wait := self._not_before - self._clock()) > 0:
                await asyncio.sleep(wait)
            asked: float | None = None
            try:
                async with session.post(self._endpoint.address, data=request.body) as response:
                    body = await response.read()
                    if response.status == 200:
                        reply = _read_reply(body)
                        if not reply.failure:
                            return reply
                        failure = reply.failure
                    else:
                        failure = f"HTTP {response.status}: {_words(body)}"
                        if response.status in _REFUSED:
                            raise self._refusal(response.status, body)
                        if response.status not in _BUSY:
                            return Reply("", failure)
                        asked = _retry_after(response.headers.get("Retry-After"))
            except TimeoutError:
                failure = f"no answer within {self._endpoint.timeout:g} s"
            except aiohttp.ClientError as error:
                failure = f"{type(error).__name__}: {error}"
            if attempt + 1 < self._endpoint.attempts:
                await self._wait(attempt, asked)
        return Reply("", f"{failure} ({self._endpoint.attempts} attempts)")

    async def _wait(self, attempt: int, asked: float | None) -> None:
        if asked is not None:
            # the server names a time for everybody, so everybody keeps to it
            until = self._clock() + min(asked, _LONGEST_ASKED)
            self._not_before = max(self._not_before, until)
            return
        wait = min(self._endpoint.first_wait * 2**attempt, self._endpoint.longest_wait)
        await asyncio.sleep(wait * self._random.uniform(0.5, 1.0))

    def _refusal(self, status: int, body: bytes) -> EndpointError:
        remedies = {
            401: "give the key in the environment variable named by --key-env",
            403: "the key may not use this model",
            404: "check the address (it ends in /v1) and the model's name",
        }
        wrong = f"refuses with HTTP {status}: {_words(body)}"
        return EndpointError(Fault(self._endpoint.address, wrong, "", remedies.get(status, "")))


def _read_reply(body: bytes) -> Reply:
    try:
        held = json.loads(body)
        choice = held["choices"][0]
        text = choice["message"].get("content")
        usage = held.get("usage") or {}
        return Reply(
            text=text if isinstance(text, str) else "",
            finish_reason=str(choice.get("finish_reason") or ""),
            prompt_tokens=int(usage.get("prompt_tokens") or 0),
            reply_tokens=int(usage.get("completion_tokens") or 0),
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return Reply("", f"not a chat completion: {_words(body)}")


def _retry_after(value: str | None) -> float | None:
    """Read a Retry-After header: seconds, or a date."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _words(body: bytes) -> str:
    return " ".join(body.decode("utf-8", "replace").split())[:200]
