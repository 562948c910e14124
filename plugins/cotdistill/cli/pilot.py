"""What a pilot of `teach` or `sample` found, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cotdistill.cli.tables import say, talk

if TYPE_CHECKING:
    from cotdistill.teach.budget import Spent
    from cotdistill.teach.pilot import Estimate, Forecast, Pilot


def show_pilot(pilot: Pilot, spent: Spent, budget: float | None) -> None:
    """Say what all questions will cost; exit 1 if that is over the budget, or some failed."""
    if spent.stopped:
        remedy = f"; raise {spent.exhausted}" if spent.exhausted else ""
        talk(f"the pilot itself was stopped at {spent.stopped}{remedy}")
        raise typer.Exit(1)
    if pilot.forecast is not None:
        _show_forecast(pilot.forecast, pilot.asked)
    if pilot.unanswered:
        left_out = "left out of the estimate" if pilot.forecast else "nothing can be estimated"
        talk(
            f"{pilot.unanswered:,} of {pilot.asked:,} questions were not answered, {left_out}; "
            f"first: {pilot.why}; the same command asks only for those"
        )
        raise typer.Exit(1)
    found = pilot.forecast
    if budget is None or found is None or found.money is None:
        return
    upper = found.money[1] if found.money[2] is None else found.money[2]
    if upper > budget:
        talk(f"the upper end is over the budget of {budget:g}")
        raise typer.Exit(1)


def _show_forecast(found: Forecast, asked: int) -> None:
    if asked == found.piloted:
        say(f"{asked:,} of {found.questions:,} questions asked; for all of them:")
    else:
        say(
            f"{asked:,} of {found.questions:,} questions asked, {found.piloted:,} answered; "
            "from those, for all:"
        )
    say(f"  requests           {found.requests:,.0f}")
    say(f"  prompt tokens      {found.prompt_tokens[1]:,.0f}")
    say(f"  completion tokens  {_shown(found.completion_tokens, ',.0f')}")
    if found.money is None:
        say("  money              unknown: no --price")
    else:
        say(f"  money              {_shown(found.money, ',.4f')}")
    if found.seconds is not None:
        say(f"  time               at most {found.seconds / 60:,.1f} min at the pilot's rate")
    if found.cut_share:
        say(f"  {found.cut_share:.0%} of the replies were truncated: the figures are too low")


def _shown(estimate: Estimate, form: str) -> str:
    low, middle, high = estimate
    if low is None or high is None:
        return f"{middle:{form}} (from one question: no interval)"
    return f"{middle:{form}} (95 % interval {low:{form}} to {high:{form}})"
