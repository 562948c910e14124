"""What it costs: prices, what was spent, when to stop, and what all of it will come to."""

from __future__ import annotations

import bisect
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from cotdistill.errors import MisuseError, did_you_mean

_MILLION = 1_000_000
_SEEN = 20  # replies before their lengths are believed
_REMEMBERED = 2000
_RESAMPLED = 2000


@dataclass(frozen=True)
class Price:
    """Money for a million tokens; cached prompt tokens cost `cached` where the price names it.

    `batch` is what a batch file's tokens cost in comparison.
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

    def money(self, prompt: int, completion: int, cached: int = 0) -> float:
        """Return what so many tokens cost; the cached ones are a part of the prompt's.

        >>> round(Price(1.0, 10.0, cached=0.1).money(1_000_000, 100_000, cached=500_000), 6)
        1.55
        """
        cheap = self.input if self.cached is None else self.cached
        cached = min(cached, prompt)
        money = (prompt - cached) * self.input + cached * cheap + completion * self.output
        return self.batch * money / _MILLION


@dataclass(frozen=True)
class Limits:
    """When to stop asking: so much money, so many tokens or requests; None is no limit."""

    money: float | None = None
    tokens: int | None = None
    requests: int | None = None

    @property
    def any(self) -> bool:
        """Whether there is a limit at all."""
        return self != Limits()


@dataclass
class Spent:
    """What one program asked, and what came of it."""

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

    @property
    def answered(self) -> int:
        """Requests that are not under way any more."""
        return self.kept + self.cut + self.refused + self.failed

    def money(self, price: Price | None) -> float | None:
        """Return what it cost, None without a price."""
        if price is None:
            return None
        return price.money(self.prompt_tokens, self.completion_tokens, self.cached_tokens)

    def as_row(self) -> dict[str, Any]:
        """Return it for the ledger."""
        return asdict(self)


@dataclass
class Meter:
    """Says whether another request still fits into the limits, whatever those under way will cost.

    A request under way is taken to cost what 95 % of the replies so far stayed below; before there
    are enough of them, as much as it may.
    """

    limits: Limits
    price: Price | None
    spent: Spent
    _lengths: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._limited = self.limits.any

    def add(self, completion_tokens: int) -> None:
        """Take note of a reply's length."""
        if len(self._lengths) < _REMEMBERED:
            bisect.insort(self._lengths, completion_tokens)

    def expected(self, max_tokens: int | None) -> int:
        """Return how many tokens a reply is expected to have at most."""
        most = 4096 if max_tokens is None else max_tokens
        if len(self._lengths) < _SEEN:
            return most
        return min(most, self._lengths[int(0.95 * (len(self._lengths) - 1))])

    def refusal(self, prompt_tokens: int, max_tokens: int | None) -> str:
        """Return which limit another request might pass, or an empty text."""
        limits, spent = self.limits, self.spent
        if not self._limited:
            return ""
        if limits.requests is not None and spent.requests >= limits.requests:
            return f"the limit of {limits.requests:,} requests"
        each = self.expected(max_tokens)
        under_way = spent.requests - spent.answered + 1
        prompt = spent.prompt_tokens + under_way * prompt_tokens
        completion = spent.completion_tokens + under_way * each
        if limits.tokens is not None and prompt + completion > limits.tokens:
            return f"the limit of {limits.tokens:,} tokens"
        if limits.money is not None and self.price is not None:
            money = self.price.money(prompt, completion, spent.cached_tokens)
            if money > limits.money:
                return f"the budget of {limits.money:g}"
        return ""


@dataclass(frozen=True)
class Forecast:
    """What all questions will cost, from a few: the middle and a 95 % interval of each figure."""

    questions: int
    piloted: int
    requests: float
    prompt_tokens: tuple[float, float, float]
    completion_tokens: tuple[float, float, float]
    money: tuple[float, float, float] | None
    seconds: float | None
    cut_share: float

    def as_row(self) -> dict[str, Any]:
        """Return it for `plan.json` and the ledger."""
        return asdict(self)


@dataclass(frozen=True)
class PilotQuestion:
    """What one question of the pilot took, over all its requests."""

    requests: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cut: int


def forecast(
    pilot: Sequence[PilotQuestion], questions: int, price: Price | None, seconds: float | None
) -> Forecast:
    """Scale what a few questions took up to all of them, with intervals from resampling those.

    A reply that was cut would have been longer: the figures are too low then, and `cut_share` says
    by how much of the replies.
    """
    chance = random.Random(0)
    scale = questions / len(pilot)

    def interval(values: Sequence[float]) -> tuple[float, float, float]:
        middle = sum(values) * scale
        sums = sorted(sum(chance.choices(values, k=len(values))) * scale for _ in range(_RESAMPLED))
        return sums[int(0.025 * _RESAMPLED)], middle, sums[int(0.975 * _RESAMPLED)]

    requests = sum(one.requests for one in pilot)
    money = None
    if price is not None:
        money = interval(
            [
                price.money(one.prompt_tokens, one.completion_tokens, one.cached_tokens)
                for one in pilot
            ]
        )
    return Forecast(
        questions,
        len(pilot),
        requests * scale,
        interval([one.prompt_tokens for one in pilot]),
        interval([one.completion_tokens for one in pilot]),
        money,
        None if seconds is None else seconds * scale,
        sum(one.cut for one in pilot) / max(1, requests),
    )
