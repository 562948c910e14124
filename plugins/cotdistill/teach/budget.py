"""What it costs: prices, what answers came to, what was spent, and when to stop."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from cotdistill.errors import MisuseError, did_you_mean
from cotdistill.teach.asking import Answer

_MILLION = 1_000_000
_SEEN = 20  # replies before their lengths are believed
_REMEMBERED = 2000


@dataclass(frozen=True)
class Price:
    """Money for a million tokens; cached prompt tokens cost `cached` where the price names it.

    `batch` is what tokens through a provider's batch files cost in comparison: 0.5 is half.
    """

    input: float
    output: float
    cached: float | None = None
    batch: float = 1.0

    @classmethod
    def of(cls, given: Mapping[str, Any] | None, place: str = "--price") -> Price | None:
        """Return the price that was written as a mapping, None without one.

        Raises:
            MisuseError: a key is unknown or missing, or a value is no price.
        """
        if given is None:
            return None
        known = ("input", "output", "cached", "batch")
        if not isinstance(given, Mapping):
            raise MisuseError(f"{place}: not a mapping; expected {{input: 0.4, output: 0.9}}")
        for name, value in given.items():
            if name not in known:
                raise MisuseError(
                    f"{place}: unknown key '{name}'; {did_you_mean(str(name), known)}"
                )
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not 0 <= value < 1e9
            ):
                raise MisuseError(
                    f"{place}: {name} is {value!r}; expected money for a million tokens"
                )
        for name in ("input", "output"):
            if name not in given:
                raise MisuseError(f"{place}: no '{name}'; expected {{input: 0.4, output: 0.9}}")
        return cls(**{name: float(value) for name, value in given.items()})

    def money(
        self, prompt: int, completion: int, cached: int = 0, *, batched: bool = False
    ) -> float:
        """Return what so many tokens cost; the cached ones are a part of the prompt's.

        >>> round(Price(1.0, 10.0, cached=0.1).money(1_000_000, 100_000, cached=500_000), 6)
        1.55
        """
        cheap = self.input if self.cached is None else self.cached
        cached = min(cached, prompt)
        money = (prompt - cached) * self.input + cached * cheap + completion * self.output
        return (self.batch if batched else 1.0) * money / _MILLION


Prices = Mapping[str, Price | None]
"""The price of each backend; None where it is unknown."""


def plain_price(price: Price | None) -> dict[str, float | None] | None:
    """Return a price for the ledger."""
    return None if price is None else asdict(price)


def plain_money(money: float | None) -> float | str:
    """Return money for the ledger."""
    return "unknown (no price was given)" if money is None else round(money, 6)


@dataclass
class Bill:
    """What answers took of each backend, and cost there; `first_at` and `last_at`: when they came.

    `sent_again` is how many requests more than answers were sent, because a server was too busy or
    a connection was lost.

    >>> bill = Bill({"": Price(0.0, 0.0), "teacher": Price(1.0, 10.0)})
    >>> bill.add(Answer("0", "kept", prompt_tokens=100_000, completion_tokens=10_000), "teacher")
    >>> bill.money, bill.tokens["teacher"]["requests"]
    (0.2, 1)
    """

    prices: Prices = field(default_factory=lambda: {"": None})
    tokens: dict[str, Counter[str]] = field(default_factory=dict)
    amounts: dict[str, float] = field(default_factory=dict)
    first_at: str = ""
    last_at: str = ""
    sent_again: int = 0

    def add(self, answer: Answer, backend: str = "") -> None:
        """Count an answer; a backend without a price of its own costs what the model does."""
        if answer.asked_at:
            self.first_at = min(self.first_at or answer.asked_at, answer.asked_at)
            self.last_at = max(self.last_at, answer.asked_at)
        self.sent_again += max(0, answer.attempts - 1)
        tokens = self.tokens.setdefault(backend, Counter())
        tokens["prompt"] += answer.prompt_tokens
        tokens["completion"] += answer.completion_tokens
        tokens["cached"] += answer.cached_tokens
        tokens["reasoning"] += answer.reasoning_tokens
        tokens["requests"] += answer.state != "open"
        price = self.prices.get(backend, self.prices.get(""))
        if price is not None:
            self.amounts[backend] = self.amounts.get(backend, 0.0) + price.money(
                answer.prompt_tokens,
                answer.completion_tokens,
                answer.cached_tokens,
                batched=answer.batched,
            )

    def money_of(self, backend: str) -> float | None:
        """Return what a backend's answers cost, None without a price."""
        unknown = self.prices.get(backend, self.prices.get("")) is None
        return None if unknown else self.amounts.get(backend, 0.0)

    @property
    def money(self) -> float | None:
        """What all of it cost, None if one of the prices is unknown."""
        if any(price is None for price in self.prices.values()):
            return None
        return sum(self.amounts.values())

    @property
    def used(self) -> int:
        """The tokens of all prompts and replies."""
        return sum(one["prompt"] + one["completion"] for one in self.tokens.values())

    @property
    def when(self) -> dict[str, str] | None:
        """When the first and the last of the answers came, in UTC; None where that is unknown."""
        return {"first": self.first_at, "last": self.last_at} if self.first_at else None

    def sum_of(self, name: str) -> int:
        """Return the sum of one count over the backends."""
        return sum(one[name] for one in self.tokens.values())


@dataclass(frozen=True)
class Limits:
    """When to stop asking: so much money, so many tokens or requests; None is no limit.

    Money and tokens are those of the folder, earlier runs included; requests are those of one run.
    """

    money: float | None = None
    tokens: int | None = None
    requests: int | None = None

    @property
    def any(self) -> bool:
        """Whether there is a limit at all."""
        return self != Limits()

    @property
    def of_folder(self) -> bool:
        """Whether what earlier runs used counts."""
        return self.money is not None or self.tokens is not None

    def check(self, prices: Prices) -> None:
        """Refuse a limit of money where a price is unknown.

        Raises:
            MisuseError: one is.
        """
        if self.money is None or all(price is not None for price in prices.values()):
            return
        option = "--price" if prices.get("") is None else "--teacher-price"
        raise MisuseError(
            f"--budget needs a price; give {option} (0 for a model that costs nothing), or limit "
            "--budget-tokens instead"
        )


@dataclass
class Spent:
    """What one program asked, and what came of it; `money` is None where a price is unknown.

    `exhausted` is the option of the limit that `stopped` it, where only a higher one lets go on.
    """

    requests: int = 0
    kept: int = 0
    cut: int = 0
    refused: int = 0
    failed: int = 0
    known: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    seconds: float = 0.0
    last_failure: str = ""
    stopped: str = ""
    exhausted: str = ""
    money: float | None = None

    @property
    def answered(self) -> int:
        """Requests that are not under way any more."""
        return self.kept + self.cut + self.refused + self.failed

    @property
    def going_on(self) -> str:
        """Which command asks for what is missing."""
        if self.exhausted:
            return f"the same command with a higher {self.exhausted} asks only for those"
        return "the same command asks only for those"

    def as_row(self) -> dict[str, Any]:
        """Return it for the ledger."""
        return asdict(self)


@dataclass
class Meter:
    """Says whether another request still fits into the limits, whatever those under way will cost.

    A request under way is taken to cost what 95 % of the backend's replies so far stayed below;
    before there are enough of them, as much as it may. All under way are of one backend. `before`
    is what earlier runs used.
    """

    limits: Limits
    prices: Prices
    spent: Spent
    before: Bill = field(default_factory=Bill)
    batched: bool = False
    _lengths: dict[str, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._limited = self.limits.any

    def add(self, completion_tokens: int, backend: str = "") -> None:
        """Take note of a reply's length."""
        lengths = self._lengths.setdefault(backend, [])
        if len(lengths) < _REMEMBERED:
            bisect.insort(lengths, completion_tokens)

    def expected(self, max_tokens: int | None, backend: str = "") -> int:
        """Return how many tokens a reply is expected to have at most."""
        most = 4096 if max_tokens is None else max_tokens
        lengths = self._lengths.get(backend, ())
        if len(lengths) < _SEEN:
            return most
        return min(most, lengths[int(0.95 * (len(lengths) - 1))])

    def is_full(self, prompt_tokens: int, max_tokens: int | None, backend: str = "") -> bool:
        """Return whether another request might pass a limit."""
        return self._limited and bool(self._passed(prompt_tokens, max_tokens, backend)[0])

    def stop(self, prompt_tokens: int, max_tokens: int | None, backend: str = "") -> None:
        """Note in what is spent which limit another request might pass."""
        spent = self.spent
        spent.stopped, spent.exhausted = self._passed(prompt_tokens, max_tokens, backend)

    def _passed(self, prompt_tokens: int, max_tokens: int | None, backend: str) -> tuple[str, str]:
        """Return which limit another request might pass, and the option to raise for it."""
        limits, spent, before = self.limits, self.spent, self.before
        if limits.requests is not None and spent.requests >= limits.requests:
            return f"the limit of {limits.requests:,} requests", ""
        under_way = spent.requests - spent.answered + 1
        prompt = under_way * prompt_tokens
        completion = under_way * self.expected(max_tokens, backend)
        used = spent.prompt_tokens + spent.completion_tokens + before.used
        if limits.tokens is not None and used + prompt + completion > limits.tokens:
            earlier = f", {before.used:,} of them used by earlier runs" if before.used else ""
            return f"the limit of {limits.tokens:,} tokens{earlier}", "--budget-tokens"
        price = self.prices.get(backend)
        if limits.money is not None and price is not None and spent.money is not None:
            paid = before.money or 0.0
            more = price.money(prompt, completion, batched=self.batched)
            if paid + spent.money + more > limits.money:
                earlier = f", {paid:,.4f} of it spent by earlier runs" if paid else ""
                return f"the budget of {limits.money:g}{earlier}", "--budget"
        return "", ""
