"""Ask OpenAI-compatible servers many things at once, patiently and within bounds.

What a server does wrong is expected: it is busy (429, Retry-After), fails (5xx), hangs, cuts the
connection or answers nonsense. Such a request is asked again, later each time and of another
server where there are several; one that still fails is handed back as a failure and never stops
the others, unless all servers are plainly gone. Long waits are announced, and none is endless.
How many requests are under way at a server is found out for each (`limiter`).
"""

from __future__ import annotations

import asyncio
import base64
import gc
import math
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from cotdistill.errors import Fault, FaultsError, MisuseError
from cotdistill.hosts.http_post import (
    TooLongError,
    Transport,
    TransportError,
    UnsafeError,
    transport_for,
)
from cotdistill.hosts.limiter import MOST, START, Limiter
from cotdistill.hosts.request import Asker, Reply, Request, Take, read_reply, shown
from cotdistill.hosts.retries import WITHOUT_TLS, FailedAttempt, backoff, failure_of
from cotdistill.hosts.stream import read_stream, streamed
from cotdistill.tables import counted

_ANNOUNCED_S = 5.0  # a wait that is longer is announced
_SHORTEST_SECRET = 6  # "EMPTY" and the like are no secrets, and hiding "x" would hide every x
_SMALLEST_REPLY = 1 << 18
_LARGEST_REPLY = 1 << 26
_BYTES_A_TOKEN = 64
_BYTES_A_LOGPROB = 160
_BYTES_A_STREAMED_TOKEN = 1024
_STREAMED_FROM = 8192  # tokens; proxies cut connections that are idle for a minute or two
_BUSY_WAITS = 4  # first waits, of a busy server that names no time

Tell = Callable[[str], None]


class EndpointError(FaultsError):
    """The servers are gone, or refuse everything."""


@dataclass(frozen=True)
class Endpoint:
    """Which servers to ask, as whom, and how patiently.

    `urls` serve the same model and end in /v1. `concurrency` is how many requests may be under way
    at each; None finds out how many bring the most tokens a second, up to `most_concurrent`.
    `stream` asks for replies in pieces, so that a silence of `idle` ends a request instead of
    `timeout`; None does so where more than 8,192 tokens are asked for. A server that failed while
    others work is tried again after `revived_after`.
    `first_wait` doubles with each attempt up to `longest_wait`. A server that asks to be left alone
    (Retry-After) for longer than `patience`, or from which no reply comes for `patience` beyond
    `timeout`, is given up. A silence of `silence` is announced.

    Units: seconds.
    """

    urls: tuple[str, ...]
    key: str | None = None
    concurrency: int | None = None
    timeout: float = 300.0
    attempts: int = 6
    first_wait: float = 0.5
    longest_wait: float = 60.0
    patience: float = 600.0
    silence: float = 60.0
    most_concurrent: int = MOST
    stream: bool | None = None
    idle: float = 120.0
    revived_after: float = 30.0


def ask_all(
    endpoint: Endpoint, requests: Iterator[Request], take: Take, tell: Tell | None = None
) -> None:
    """Ask everything that an iterator yields and pass on each reply.

    `requests` is drawn from only as replies come in, so a generator may stop when a budget is
    spent; `take` is called as replies arrive, in no order; `tell` gets a line on every long wait.

    Raises:
        EndpointError: every server refuses the key, the model or the address, or does not answer.
        MisuseError: a URL is none, the key cannot be sent, or aiohttp is needed and not installed.
    """
    servers = [_server(endpoint, url) for url in dict.fromkeys(endpoint.urls)]
    if not servers:
        raise MisuseError("no endpoint to ask; expected an address such as http://HOST:8000/v1")
    conversation = _Conversation(endpoint, servers, requests, take, tell or (lambda _line: None))
    # thousands of requests come and go: without this, all that is imported would be looked through
    # for garbage again and again, which takes a twentieth of the time
    gc.freeze()
    try:
        asyncio.run(conversation.run())
    except ExceptionGroup as group:
        raise _first(group) from group
    finally:
        gc.unfreeze()


def endpoint_asker(endpoint: Endpoint, tell: Tell | None = None) -> Asker:
    """Return what asks these servers; see `ask_all`."""
    return lambda requests, take: ask_all(endpoint, requests, take, tell)


def _first(group: ExceptionGroup[Exception]) -> Exception:
    error: Exception = group
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


@dataclass
class _Server:
    """One server: how to reach it, and how it has behaved so far (times on the loop's clock)."""

    name: str
    base: str
    query: str
    headers: dict[str, str]
    secrets: tuple[str, ...]
    limiter: Limiter
    workers: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)
    transports: dict[str, Transport] = field(default_factory=dict)
    not_before: float = 0.0
    last_reply: float = 0.0
    failures_in_a_row: int = 0
    last_failure: str = ""
    under_way: int = 0
    given_up: Fault | None = None

    def transport(self, request: Request) -> Transport:
        path = "/chat/completions" if request.is_chat else "/completions"
        if path not in self.transports:
            address = self.base + path + (f"?{self.query}" if self.query else "")
            self.transports[path] = transport_for(address, self.headers)
        return self.transports[path]

    async def enter(self) -> None:
        """Wait, in turn, until one more request may be under way, and count it."""
        if self.under_way < self.limiter.limit and not self.waiting:
            self.under_way += 1
            return
        waiter = asyncio.get_running_loop().create_future()
        self.waiting.append(waiter)
        self.admit()
        await waiter

    def leave(self) -> None:
        """End a request, and let the next one in."""
        self.under_way -= 1
        if self.waiting:
            self.admit()

    def admit(self) -> None:
        """Let requests in that wait; all of them where the server was given up."""
        while self.waiting and (self.under_way < self.limiter.limit or self.given_up):
            waiter = self.waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                self.under_way += 1

    def hidden(self, text: str) -> str:
        """Return a text without the key or password that a server may have put in it."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


class _Conversation:
    def __init__(
        self,
        endpoint: Endpoint,
        servers: list[_Server],
        requests: Iterator[Request],
        take: Take,
        tell: Tell,
    ) -> None:
        self._endpoint = endpoint
        self._servers = servers
        self._requests = requests
        self._take = take
        self._tell = tell
        self._random = random.Random(0)  # spreads retries; decides nothing else
        self._now: Callable[[], float] = lambda: 0.0
        self._announced = 0.0
        self._group = asyncio.TaskGroup()
        self._revivals: set[asyncio.Task[None]] = set()
        self._all_drawn = False

    async def run(self) -> None:
        self._now = asyncio.get_running_loop().time
        self._announced = self._now()
        for server in self._servers:
            server.last_reply = self._now()
        watcher = asyncio.ensure_future(self._watch())
        try:
            async with self._group:
                for server in self._servers:
                    self._staff(server)
        finally:
            watcher.cancel()
            for revival in self._revivals:
                revival.cancel()
            for server in self._servers:
                for transport in server.transports.values():
                    await transport.close()

    def _staff(self, server: _Server) -> None:
        """Start as many workers as the server may have requests under way."""
        while server.workers < server.limiter.limit and not (self._all_drawn or server.given_up):
            server.workers += 1
            self._group.create_task(self._work(server))

    async def _work(self, home: _Server) -> None:
        try:
            for request in self._requests:
                reply = await self._ask(home, request)
                self._take(request, reply)
                # all that came in this turn of the loop is taken, and a journal written, before
                # anything else is asked
                await asyncio.sleep(0)
                if home.given_up or home.workers > home.limiter.limit:
                    return
                if home.workers < home.limiter.limit:
                    self._staff(home)
            self._all_drawn = True
        finally:
            home.workers -= 1

    async def _ask(self, home: _Server, request: Request) -> Reply:
        """Ask until there is a reply; `lost` counts attempts, refusals for being busy do not."""
        lost = rounds = 0
        server = home
        while True:
            if rounds:
                server = self._other(home, server)
            while (wait := server.not_before - self._now()) > 0:
                await asyncio.sleep(wait)
            await server.enter()
            if server.given_up or server.not_before > self._now():
                server.leave()
                server = self._other(home, server) if server.given_up else server
                continue
            rounds += 1
            try:
                reply = await self._attempt(server, request)
                return reply if rounds == 1 else reply._replace(attempts=rounds)
            except FailedAttempt as failed:
                lost += failed.kind == "lost"
                self._note(server, failed)
                if failed.kind == "final":
                    return Reply(failure=failed.why, attempts=rounds)
                if lost >= self._endpoint.attempts:
                    return Reply(
                        failure=f"{failed.why} ({counted(rounds, 'attempt')})", attempts=rounds
                    )
                if failed.wait is None:
                    wait = backoff(rounds, self._endpoint.first_wait, self._endpoint.longest_wait)
                    await asyncio.sleep(wait * self._random.uniform(0.5, 1.0))

    async def _attempt(self, server: _Server, request: Request) -> Reply:
        limiter, sent_at = server.limiter, self._now()
        sent_under = limiter.limit
        is_stream = self._streams(request)
        patience = self._endpoint.idle if is_stream else self._endpoint.timeout
        body = streamed(request) if is_stream else request.encoded
        most = _longest(request, _BYTES_A_STREAMED_TOKEN if is_stream else _BYTES_A_TOKEN)
        try:
            raw = await server.transport(request).post(body, most, patience, in_pieces=is_stream)
        except TimeoutError as error:
            raise FailedAttempt("lost", f"no reply within {patience:g} s") from error
        except TransportError as error:
            raise FailedAttempt("lost", server.hidden(str(error))) from error
        except UnsafeError as error:
            why = server.hidden(str(error))
            raise FailedAttempt("refused", why, remedy=WITHOUT_TLS) from error
        except TooLongError as error:
            raise FailedAttempt(
                "final", f"the reply is longer than {most / (1 << 20):.1f} MiB"
            ) from error
        finally:
            server.leave()
        if raw.status != 200:
            failed = failure_of(raw, server.hidden)
            if failed.kind == "busy" and limiter.refused(sent_under) and failed.wait is None:
                wait = _BUSY_WAITS * self._endpoint.first_wait
                server.not_before = max(server.not_before, self._now() + wait)
            raise failed
        reply = (read_stream if is_stream else read_reply)(raw.body, request)
        if reply.failure and not reply.choices:
            raise FailedAttempt("lost", server.hidden(reply.failure))
        now = server.last_reply = self._announced = self._now()
        server.failures_in_a_row = 0
        limiter.answered(sent_at, sent_under, reply.usage.completion_tokens or 0, now)
        return reply

    def _streams(self, request: Request) -> bool:
        if self._endpoint.stream is not None:
            return self._endpoint.stream
        return request.max_tokens is not None and request.max_tokens > _STREAMED_FROM

    def _note(self, server: _Server, failed: FailedAttempt) -> None:
        """Keep in mind what a failed attempt says of the server; give it up if it is gone."""
        server.last_failure = failed.why
        if failed.kind != "busy":
            # a request that cannot be tried again weighs as much as one that was tried in vain
            weight = 1 if failed.kind == "lost" else self._endpoint.attempts
            server.failures_in_a_row += weight
        most = max(8, server.limiter.limit) * self._endpoint.attempts
        silent = self._now() - server.last_reply
        if failed.kind == "refused":
            self._give_up(server, f"refuses with {failed.why}", failed.remedy)
        elif failed.wait is not None and failed.wait > self._endpoint.patience:
            wrong = f"asks to be left alone for {_duration(failed.wait)} ({failed.why})"
            self._give_up(server, wrong, "run it again then; what was answered is kept")
        elif server.failures_in_a_row >= most or silent > (
            self._endpoint.patience + self._endpoint.timeout
        ):
            lost = server.failures_in_a_row // self._endpoint.attempts
            wrong = f"{lost} requests in a row failed"
            if server.failures_in_a_row < most:
                wrong = f"no reply for {_duration(silent)}"
            remedy = "is the server up? what was answered is kept; run it again"
            if failed.kind == "final":
                remedy = "does the model take such requests (context, options of sampling)?"
            self._give_up(server, f"{wrong}, last: {failed.why}", remedy, for_good=False)
        elif failed.wait is not None:
            self._leave_alone(server, failed)

    def _leave_alone(self, server: _Server, failed: FailedAttempt) -> None:
        """The server names a time for everybody, so everybody keeps to it."""
        assert failed.wait is not None
        until = self._now() + failed.wait
        if failed.wait > _ANNOUNCED_S and until > server.not_before + _ANNOUNCED_S:
            self._tell(f"{server.name}: {failed.why}; waiting {_duration(failed.wait)} as it asks")
        server.not_before = max(server.not_before, until)

    def _give_up(self, server: _Server, wrong: str, remedy: str, *, for_good: bool = True) -> None:
        if server.given_up is None:
            server.given_up = Fault(server.name, wrong, "", remedy)
            server.admit()
            if all(one.given_up for one in self._servers):
                raise EndpointError([one.given_up for one in self._servers if one.given_up])
            self._tell(f"{server.given_up}; the other servers are asked instead")
            if not for_good:
                revival = asyncio.ensure_future(self._revive(server))
                self._revivals.add(revival)
                revival.add_done_callback(self._revivals.discard)

    async def _revive(self, server: _Server) -> None:
        """Try a server again with one request at a time; the next failure gives it up again."""
        await asyncio.sleep(self._endpoint.revived_after)
        server.given_up = None
        server.last_reply = self._now()
        most = self._endpoint.concurrency or self._endpoint.most_concurrent
        server.limiter = Limiter(1, most)
        server.failures_in_a_row = max(8, server.limiter.limit) * self._endpoint.attempts - 1
        self._staff(server)

    def _other(self, home: _Server, last: _Server) -> _Server:
        """The server to ask after a failure: not the last one if there is another."""
        usable = [one for one in self._servers if not one.given_up]
        others = [one for one in usable if one is not last] or usable
        if not others:
            raise EndpointError([one.given_up for one in self._servers if one.given_up])
        if home in others:
            return home
        return min(others, key=lambda one: (one.not_before > self._now(), one.under_way))

    async def _watch(self) -> None:
        """Say that nothing has come for a while, with the reason where there is one."""
        silence = self._endpoint.silence
        while True:
            await asyncio.sleep(max(0.01, self._announced + silence - self._now()))
            if self._now() < self._announced + silence:
                continue
            self._announced = self._now()
            for server in self._servers:
                if server.given_up is None:
                    silent = _duration(self._now() - server.last_reply)
                    why = f"; last failure: {server.last_failure}" * bool(server.failures_in_a_row)
                    under_way = f"{counted(server.under_way, 'request')} under way"
                    line = f"no reply for {silent}, {under_way}{why}"
                    self._tell(f"{server.name}: {line}")


def _server(endpoint: Endpoint, url: str) -> _Server:
    """Take a URL apart: what is asked, what may be printed, and what must not be.

    Raises:
        MisuseError: it is no URL of a server, or the key cannot be sent.
    """
    parts = urlsplit(url.strip())
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if parts.scheme not in ("http", "https") or not host:
        raise MisuseError(
            f"'{shown(url.rpartition('@')[2].encode())}' is not the address of a server; "
            "expected http://HOST:PORT/v1 or https://HOST/v1"
        )
    host = f"[{host}]" if ":" in host else host
    host += "" if port is None else f":{port}"
    path = parts.path.rstrip("/").removesuffix("/completions").removesuffix("/chat").rstrip("/")
    base = urlunsplit((parts.scheme, host, path, "", ""))
    headers = {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "User-Agent": "cotdistill",
    }
    key = (endpoint.key or "").strip()
    if not key.isascii() or not key.isprintable():
        raise MisuseError("the endpoint's key holds characters that no key has; is it whole?")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    secrets = [key, password, parts.password or "", *(value for _, value in parse_qsl(parts.query))]
    if key:
        headers["Authorization"] = f"Bearer {key}"
    elif user or password:
        packed = base64.b64encode(f"{user}:{password}".encode()).decode()
        headers["Authorization"] = f"Basic {packed}"
        secrets.append(packed)
    secrets = sorted({one for one in secrets if len(one) >= _SHORTEST_SECRET}, key=len)
    limiter = Limiter(
        endpoint.concurrency or min(START, endpoint.most_concurrent),
        endpoint.concurrency or endpoint.most_concurrent,
    )
    return _Server(base, base, parts.query, headers, tuple(reversed(secrets)), limiter)


def _longest(request: Request, token: int) -> int:
    """The most bytes that a reply may have: what the tokens asked for can need, with room."""
    if request.max_tokens is None:
        return _LARGEST_REPLY
    if request.logprobs is not None:
        token += _BYTES_A_LOGPROB * (1 + request.logprobs)
    tokens = request.n * request.max_tokens
    return min(_SMALLEST_REPLY + len(request.encoded) + token * tokens, _LARGEST_REPLY)


def _duration(seconds: float) -> str:
    """Return a length of time for people.

    >>> _duration(59.9), _duration(600), _duration(99999999), _duration(math.inf)
    ('60 s', '10 min', '27778 h', 'ever')
    """
    if math.isinf(seconds):
        return "ever"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"
