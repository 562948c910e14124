"""Ask about a few questions first, and say what all of them will cost."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from cotdistill.files.atomic import write_text
from cotdistill.teach.asking import Answer
from cotdistill.teach.budget import Bill, Prices, plain_price
from cotdistill.teach.engine import Course, Engine
from cotdistill.teach.interrupts import stopped_gently
from cotdistill.teach.outputs import PLAN
from cotdistill.teach.questions import Item, Items

_RESAMPLED = 2000

Estimate = tuple[float | None, float, float | None]
"""The lower end of a 95 % interval, the figure, and the upper end; None from a single question."""


class Billed(Protocol):
    """What the course of a question came to, as far as it was paid for."""

    @property
    def billed(self) -> Iterable[tuple[str, Answer]]:
        """The answers, each once, with the backend that gave them."""
        ...


@dataclass(frozen=True)
class PilotOptions:
    """How many of the `questions` are asked, where the plan goes, and what it is of."""

    folder: Path
    count: int
    questions: int
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class PilotQuestion:
    """What one question of the pilot took, over all its requests; no money without a price."""

    requests: int
    prompt_tokens: int
    completion_tokens: int
    money: float | None
    cut: int


@dataclass(frozen=True)
class Forecast:
    """What all questions will cost, from a few that were answered."""

    questions: int
    piloted: int
    requests: float
    prompt_tokens: Estimate
    completion_tokens: Estimate
    money: Estimate | None
    seconds: float | None
    cut_share: float


@dataclass(frozen=True)
class Pilot:
    """What came of a pilot: how many questions were asked, and how many have no whole answer.

    There is no forecast where no question was answered.
    """

    asked: int
    unanswered: int
    why: str
    forecast: Forecast | None
    written: tuple[Path, ...] = ()


def run_pilot(
    items: Items, course: Callable[[Item], Course[Billed]], engine: Engine, options: PilotOptions
) -> Pilot:
    """Ask about a few questions of all lengths, and scale up what those that were answered took.

    A question of which an answer failed or is open says nothing about the cost of the others.
    """
    chosen = _of_all_lengths(items, options.count)
    with stopped_gently(engine):
        engine.ask(course(item) for item in chosen)
    answered = []
    why = ""
    for item in chosen:
        billed = list(engine.replay(course(item)).billed)
        missing = [answer for _, answer in billed if answer.state in ("failed", "open")]
        if missing:
            why = why or f"{item.id}: {missing[0].why or missing[0].state}"
        else:
            answered.append(_question(billed, engine.options.prices))
    unanswered = len(chosen) - len(answered)
    if not answered:
        return Pilot(len(chosen), unanswered, why, None)
    was_asked = engine.spent.requests > 0
    seconds = engine.spent.seconds * len(answered) / len(chosen) if was_asked else None
    found = forecast(answered, options.questions, seconds)
    plan = {
        "settings": options.settings,
        "price": plain_price(engine.options.prices.get("")),
        "forecast": asdict(found),
    }
    path = options.folder / PLAN
    write_text(path, json.dumps(plan, indent=2) + "\n")
    return Pilot(len(chosen), unanswered, why, found, (path,))


def _question(billed: Sequence[tuple[str, Answer]], prices: Prices) -> PilotQuestion:
    bill = Bill(prices)
    for backend, answer in billed:
        bill.add(answer, backend)
    return PilotQuestion(
        bill.sum_of("requests"),
        bill.sum_of("prompt"),
        bill.sum_of("completion"),
        bill.money,
        sum(answer.state == "cut" for _, answer in billed),
    )


def forecast(pilot: Sequence[PilotQuestion], questions: int, seconds: float | None) -> Forecast:
    """Scale what a few questions took up to all of them, with intervals from resampling those.

    A reply that was cut would have been longer: the figures are too low then, and `cut_share` says
    by how much of the replies.
    """
    chance = random.Random(0)
    scale = questions / len(pilot)

    def estimate(values: Sequence[float]) -> Estimate:
        middle = sum(values) * scale
        if len(values) < 2:
            return None, middle, None
        sums = sorted(sum(chance.choices(values, k=len(values))) * scale for _ in range(_RESAMPLED))
        return sums[int(0.025 * _RESAMPLED)], middle, sums[int(0.975 * _RESAMPLED)]

    requests = sum(one.requests for one in pilot)
    amounts = [one.money for one in pilot if one.money is not None]
    return Forecast(
        questions,
        len(pilot),
        requests * scale,
        estimate([one.prompt_tokens for one in pilot]),
        estimate([one.completion_tokens for one in pilot]),
        estimate(amounts) if len(amounts) == len(pilot) else None,
        None if seconds is None else seconds * scale,
        sum(one.cut for one in pilot) / max(1, requests),
    )


def predicted_by_pilot(
    folder: Path, settings: Mapping[str, Any], price: Mapping[str, Any] | None, questions: int
) -> dict[str, Any] | None:
    """Return what a pilot predicted for the same settings and as many questions, if there was one.

    Money of another price is left out.
    """
    try:
        found = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    predicted = found.get("forecast") if isinstance(found, dict) else None
    if not isinstance(predicted, dict) or predicted.get("questions") != questions:
        return None
    if found.get("settings") != json.loads(json.dumps(settings)):
        return None
    return predicted if found.get("price") == price else {**predicted, "money": None}


def _of_all_lengths(items: Items, count: int) -> list[Item]:
    """Return questions of all lengths, evenly spaced among all in the order of their lengths."""
    lengths = sorted((len(item.question), place) for place, item in enumerate(items))
    count = min(count, len(lengths))
    places = {lengths[(2 * n + 1) * len(lengths) // (2 * count)][1] for n in range(count)}
    return [item for place, item in enumerate(items) if place in places]
