"""What shows that a loop collapses: one line for each sign, from what each round leaves.

The rules of thumb are those of self-training: a model that learns from its own answers loses the
hard questions first (tail narrowing, Ding et al. 2024, arXiv:2411.00750, Fig. 1), then variety.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cotdistill.improve.likelihood import OwnLikelihood
from cotdistill.runfolder.round_records import RoundData, RoundDecision

HALF = 0.5
LESS_DISTINCT = 0.2
LONGER, SHORTER = 2.0, 0.5
TRUNCATED = 0.05
MORE_UNSOUND = 0.01


@dataclass(frozen=True)
class Scored:
    """How a round scored, as far as alarms look at it.

    Units: `gain`, `low` and `high` points above the best round before.
    """

    gain: float
    low: float
    high: float
    first_loss: float | None
    own: OwnLikelihood | None = None


def alarms(
    data: RoundData,
    scored: Scored,
    first: RoundData,
    before: tuple[RoundData, RoundDecision] | None = None,
) -> tuple[str, ...]:
    """Return a line for each sign that a round is getting worse; `before` is the round before."""
    return (
        *_of_the_tail(data, before[0] if before else None),
        *_of_texts(data, first, before[0] if before else None),
        *_of_scores(scored, before[1] if before else None),
    )


def _of_the_tail(data: RoundData, before: RoundData | None) -> Iterator[str]:
    share, expected = data.hardest_share, data.hardest_questions
    if share is not None and expected and share < HALF * expected:
        yield (
            f"tail: the hardest questions ({data.bins[-1].name}) are {expected:.0%} of the "
            f"questions and {share:.0%} of the new rows"
        )
    if before is None or not data.bins or not before.bins:
        return
    hardest, was = data.bins[-1].coverage, before.bins[-1].coverage
    if hardest < was and data.coverage > before.coverage:
        yield (
            f"coverage: {was:.0%} -> {hardest:.0%} of the hardest questions, while that of all "
            f"rises {before.coverage:.0%} -> {data.coverage:.0%}"
        )


def _of_texts(data: RoundData, first: RoundData, before: RoundData | None) -> Iterator[str]:
    was, now = before.distinct if before else None, data.distinct
    if was and now is not None and now < (1 - LESS_DISTINCT) * was:
        yield f"distinct: {was:.0%} -> {now:.0%} of the correct answers are no copies"
    is_first = data.round == first.round
    if data.words is not None and first.words and not is_first:
        ratio = data.words / first.words
        if ratio < SHORTER or ratio > LONGER:
            yield f"length: median {data.words:g} words, {first.words:g} in round {first.round}"
    if data.truncated > TRUNCATED:
        yield f"truncated: {data.truncated:.0%} of the samples were cut off"
    was, now = before.unsound if before else None, data.unsound
    if was is not None and now is not None and now > was + MORE_UNSOUND:
        yield (
            f"unsound: {was:.1%} -> {now:.1%} of the rows that state equations state a false one"
        )


def _of_scores(scored: Scored, before: RoundDecision | None) -> Iterator[str]:
    if scored.high < 0:
        yield (
            f"score: {scored.gain:+.1f} points on the development questions "
            f"({scored.low:+.1f} to {scored.high:+.1f})"
        )
    if scored.own is not None:
        yield from _of_likelihood(scored.own, scored.gain, before)
        return
    was, loss = before.first_loss if before else None, scored.first_loss
    if was is not None and loss is not None and loss < was and scored.gain <= 0:
        yield (
            f"likelihood: the rows cost their model {was:.3f} -> {loss:.3f} nats a token before "
            "training, and the score does not rise"
        )


def _of_likelihood(own: OwnLikelihood, gain: float, before: RoundDecision | None) -> Iterator[str]:
    """Yield the alarm of rows that their writer was surer of, by more than chance."""
    was = before.likelihood if before else None
    if was is not None and own.high < was and gain <= 0:
        yield (
            f"likelihood: the new rows cost the model that wrote them {was:.3f} -> {own.nll:.3f} "
            "nats a token, and the score does not rise"
        )
