"""Drive many courses of questions and answers at once, from what is kept and what must be asked.

A course is a generator: it yields the requests that it needs next and is sent their answers; what
it returns is its result. Everything it does depends only on the answers, so a course that is driven
again from the journal comes to the same result: that is how outputs are written, and why a kill
changes nothing.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from cotdistill.hosts.meanwhile import Meanwhile
from cotdistill.hosts.request import Asker, Reply, Request
from cotdistill.hosts.served_model import ServedModels
from cotdistill.teach.asking import Answer, Ask, answer_of, record_of
from cotdistill.teach.budget import Bill, Limits, Meter, Prices, Spent
from cotdistill.teach.store import Store

Result = TypeVar("Result")
Course = Generator[Sequence[Ask], Sequence[Answer], Result]

_CHARACTERS_A_TOKEN = 4


@dataclass(frozen=True)
class EngineOptions:
    """How to ask: limits, the price of each backend, and what may change a request that was cut.

    A reply that was cut is asked again with `grow_by` times the tokens, up to `grow_times` times.
    `any_model` accepts replies of a model with another name than was asked for. `most_active` is
    how many courses may wait for replies at once. `batched`: replies are read from batch files.
    """

    limits: Limits = field(default_factory=Limits)
    prices: Prices = field(default_factory=lambda: {"": None})
    grow_by: int = 2
    grow_times: int = 0
    any_model: bool = False
    most_active: int = 4096
    batched: bool = False


@dataclass
class _Waiting:
    """A course between two steps: the answers that it has, by place, and those it waits for."""

    course: Course[object]
    asks: Sequence[Ask]
    answers: dict[int, Answer]


@dataclass
class Engine:
    """Asks for courses, keeps what comes, and drives courses again from what is kept.

    A reply is kept at once. What it leads to, and the next requests, are worked out while servers
    are waited for, so that a request is ready when a reply makes room for it.
    """

    store: Store
    askers: Mapping[str, Asker]
    options: EngineOptions = field(default_factory=EngineOptions)
    watch: Callable[[Spent], None] = lambda _spent: None
    spent: Spent = field(default_factory=Spent)
    stopped: bool = False
    failures: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        options = self.options
        self._bill, before = Bill(options.prices), Bill(options.prices)
        self.spent.money = self._bill.money
        if options.limits.of_folder:
            for reply in self.store.replies():
                before.add(answer_of("", reply, cut=False), str(reply.get("backend") or ""))
        self._meter = Meter(options.limits, options.prices, self.spent, before, options.batched)
        self._queues: dict[str, deque[Request]] = defaultdict(deque)
        self._answered: deque[_Waiting] = deque()  # have all their answers, and go on
        self._courses: Iterator[Course[object]] = iter(())
        self._backend = ""
        self._meanwhile = Meanwhile(self._prepare)
        self._pending: dict[str, list[tuple[_Waiting, int]]] = {}
        self._allowances: dict[str, int | None] = {}
        self._backends: dict[str, str] = {}
        self._models = ServedModels(options.any_model)
        self._began = 0.0

    def ask(self, courses: Iterator[Course[object]]) -> None:
        """Drive courses until all are done, a limit is reached, or `stopped` is set.

        Raises:
            FaultsError: all servers are gone, or serve another model; what came before is kept.
        """
        self._began = time.monotonic()
        self._courses = courses
        more = True
        try:
            while more and not self._is_over():
                before = self.spent.requests
                for backend, asker in self.askers.items():
                    self._backend = backend
                    asker(self._drawn(), self._take)
                    self._meanwhile.check()
                    while self._answered:
                        self._advance()
                more = any(self._queues.values()) and self.spent.requests > before
        finally:
            self.spent.seconds += time.monotonic() - self._began

    def replay(self, course: Course[Result]) -> Result:
        """Return what a course comes to with the answers that are kept."""
        answers: Sequence[Answer] | None = None
        while True:
            try:
                asks = next(course) if answers is None else course.send(answers)
            except StopIteration as end:
                result: Result = end.value
                return result
            answers = [self._known(ask.request) or self._missing(ask.request) for ask in asks]

    def _is_over(self) -> bool:
        return self.stopped or bool(self.spent.stopped)

    def _drawn(self) -> Iterator[Request]:
        """Yield the requests of a backend as it is ready for them; start courses on the way."""
        queue = self._queues[self._backend]
        while not self._is_over():
            self._meanwhile.check()
            while not queue and self._advance():
                pass
            if not queue:
                return
            request = queue[0]
            prompt = len(request.encoded) // _CHARACTERS_A_TOKEN
            if self._meter.is_full(prompt, request.max_tokens, self._backend):
                if self.spent.requests == self.spent.answered:
                    self._meter.stop(prompt, request.max_tokens, self._backend)
                return  # else those under way may leave more than they were taken to cost
            queue.popleft()
            self.spent.requests += 1
            yield request

    def _prepare(self) -> bool:
        """Make one more request ready, unless there are as many as replies may come at once."""
        ready = len(self._queues[self._backend])
        under_way = self.spent.requests - self.spent.answered
        return not self._is_over() and ready < under_way and self._advance()

    def _advance(self) -> bool:
        """Let a course go on, or start one; return False if none can."""
        if self._answered:
            waiting = self._answered.popleft()
            self._step(waiting.course, [waiting.answers[n] for n in range(len(waiting.asks))])
            return True
        if len(self._pending) >= self.options.most_active:
            return False
        course = next(self._courses, None)
        if course is not None:
            self._step(course, None)
        return course is not None

    def _step(self, course: Course[object], answers: Sequence[Answer] | None) -> None:
        """Send answers to a course, and queue what it asks for then, unless it is known."""
        while True:
            try:
                asks = next(course) if answers is None else course.send(answers)
            except StopIteration:
                return
            waiting = _Waiting(course, asks, {})
            for place, ask in enumerate(asks):
                known = self._known(ask.request)
                if known is not None:
                    self.spent.known += 1
                    waiting.answers[place] = known
                else:
                    self._queue(ask, waiting, place)
            if len(waiting.answers) < len(asks):
                return
            answers = [waiting.answers[place] for place in range(len(asks))]

    def _queue(self, ask: Ask, waiting: _Waiting, place: int) -> None:
        request = ask.request
        if request.key in self._pending:
            self._pending[request.key].append((waiting, place))
            return
        self._pending[request.key] = [(waiting, place)]
        self._allowances[request.key] = request.max_tokens
        self._backends[request.key] = ask.backend
        allowance = self._next_allowance(request)
        if allowance != request.max_tokens:
            request = replace(request, max_tokens=allowance)
        self._queues[ask.backend].append(request)
        _ = request.encoded  # now, when nobody waits for it

    def _take(self, request: Request, reply: Reply) -> None:
        """Keep a reply; the courses that waited for it go on soon."""
        answer = self._keep(request, reply)
        if answer.state == "cut" and (more := self._grown(request)) is not None:
            self._queues[self._backends[request.key]].append(replace(request, max_tokens=more))
            return
        self._allowances.pop(request.key, None)
        self._backends.pop(request.key, None)
        for waiting, place in self._pending.pop(request.key, ()):
            waiting.answers[place] = answer
            if len(waiting.answers) == len(waiting.asks):
                self._answered.append(waiting)
        self._meanwhile.soon()
        self.spent.seconds = time.monotonic() - self._began
        self.watch(self.spent)

    def _keep(self, request: Request, reply: Reply) -> Answer:
        spent = self.spent
        if not reply.choices:
            spent.failed += 1
            spent.last_failure = self.failures[request.key] = reply.failure
            return Answer(request.key, "failed", why=reply.failure)
        backend = self._backend
        record = record_of(request, reply, backend, batched=self.options.batched)
        cut = reply.finish_reason == "length"
        answer = answer_of(request.key, record, cut)
        spent.prompt_tokens += answer.prompt_tokens
        spent.completion_tokens += answer.completion_tokens
        spent.cached_tokens += answer.cached_tokens
        spent.reasoning_tokens += answer.reasoning_tokens
        self._bill.add(answer, backend)
        spent.money = self._bill.money
        self._meter.add(answer.completion_tokens, backend)
        if answer.state == "failed":
            # paid for and empty: the next run may ask again, this one has its answer
            spent.failed += 1
            spent.last_failure = self.failures[request.key] = answer.why
            return answer
        self._models.check(request, reply)
        if answer.state == "cut":
            spent.cut += 1
        elif answer.state == "refused":
            spent.refused += 1
            spent.last_failure = answer.why
        else:
            spent.kept += 1
        self.store.add(
            request.key,
            record,
            allowance=request.max_tokens,
            tokens=answer.completion_tokens,
            cut=cut,
        )
        return answer

    def _known(self, request: Request) -> Answer | None:
        """The answer that is kept, or that this program failed to get; None if it can be asked."""
        found = self._latest(request)
        if found is not None and (found.state != "cut" or self._next_allowance(request) is None):
            return found
        if request.key in self.failures:
            return Answer(request.key, "failed", why=self.failures[request.key])
        return None

    def _missing(self, request: Request) -> Answer:
        found = self._latest(request)
        if found is not None:
            return found
        return Answer(request.key, "open", why=self.spent.stopped or "not answered yet")

    def _latest(self, request: Request) -> Answer | None:
        """The best reply that is kept under the allowances that the request may be given."""
        if request.key not in self.store:
            return None
        found = None
        for allowance in self._all_allowances(request):
            kept = self.store.find(request.key, allowance)
            if kept is not None:
                found = answer_of(request.key, kept.reply, kept.cut)
                if not kept.cut:
                    return found
        return found

    def _all_allowances(self, request: Request) -> list[int | None]:
        if request.max_tokens is None:
            return [None]
        times = range(self.options.grow_times + 1)
        return [request.max_tokens * self.options.grow_by**time_ for time_ in times]

    def _next_allowance(self, request: Request) -> int | None:
        """The smallest allowance that has not been tried; None if all were tried in vain."""
        if request.key not in self.store:
            return request.max_tokens
        for allowance in self._all_allowances(request):
            if self.store.find(request.key, allowance) is None:
                return allowance
        return None

    def _grown(self, request: Request) -> int | None:
        base = self._allowances.get(request.key)
        if base is None or request.max_tokens is None:
            return None
        more = request.max_tokens * self.options.grow_by
        return more if more <= base * self.options.grow_by**self.options.grow_times else None
