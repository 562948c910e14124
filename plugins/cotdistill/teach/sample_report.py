"""What came of sampling, by round: coverage, correct counts, and what a covered question cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from cotdistill.tables import Table
from cotdistill.teach.budget import Bill, Spent
from cotdistill.teach.pilot import Pilot
from cotdistill.teach.questions import Item
from cotdistill.teach.sampling import TEACHER, Attempt, Plan, Sampled


@dataclass
class RoundCounts:
    """What one round brought; questions are covered once they have a correct sample.

    Requests and tokens are the teacher's too; `teacher` is its part of them.
    """

    asked: int = 0
    kept: int = 0
    correct: int = 0
    rejected: int = 0
    newly_covered: int = 0
    requests: int = 0
    tokens: int = 0
    histogram: Counter[int] = field(default_factory=Counter)
    teacher: Counter[str] = field(default_factory=Counter)


@dataclass
class SampleReport:
    """What came of it, by round; round 0 is the plain samples; `pilot` after a pilot only."""

    spent: Spent
    bill: Bill = field(default_factory=Bill)
    pilot: Pilot | None = None
    questions: int = 0
    rounds: dict[int, RoundCounts] = field(default_factory=dict)
    states: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    traces: int = 0
    gained: int = 0
    without_prefix: int = 0
    repeats: list[int] = field(default_factory=lambda: [0, 0])
    first_missing: str = ""
    written: tuple[Path, ...] = ()

    @property
    def missing(self) -> int:
        """Samples that were wanted and did not come."""
        return self.states.total() - self.states["kept"]

    @property
    def repeated_share(self) -> float:
        """The share of plain samples whose text another one of the same question has."""
        same, several = self.repeats
        return same / several if several else 0.0

    def table(self) -> Table:
        """Return one line a round: coverage, correct counts, and what a covered question cost."""
        columns = (
            "round", "samples", "correct", "rejected", "covered", "coverage", "requests",
            "tokens", "tokens per newly covered", "questions by correct samples",
        )  # fmt: skip
        rows = []
        covered = 0
        for number in sorted(self.rounds):
            each = self.rounds[number]
            covered += each.newly_covered
            cost = f"{each.tokens / each.newly_covered:,.0f}" if each.newly_covered else "-"
            histogram = " ".join(f"{n}:{each.histogram[n]}" for n in sorted(each.histogram))
            rows.append(
                (
                    str(number),
                    str(each.asked),
                    str(each.correct),
                    str(each.rejected),
                    str(covered),
                    f"{covered / max(1, self.questions):.1%}",
                    str(each.requests),
                    f"{each.tokens:,}",
                    cost,
                    histogram,
                )
            )
        return Table(columns, tuple(rows))


def count_attempts(item: Item, found: Sampled, plan: Plan, report: SampleReport) -> None:
    """Count a question's attempts by round, and how many correct ones it has after each."""
    plain = [attempt.text for attempt in found.attempts if attempt.text and not attempt.round]
    if len(plain) > 1:
        report.repeats[0] += len(plain) - len(set(plain))
        report.repeats[1] += len(plain)
    covered = False
    last = max((attempt.round for attempt in found.attempts), default=0)
    for round_ in range(last + 1):
        here = [attempt for attempt in found.attempts if attempt.round == round_]
        if not here:
            continue
        counts = report.rounds.setdefault(round_, RoundCounts())
        counts.asked += len(here)
        for attempt in here:
            answer = attempt.answer
            _count_bill(attempt, counts, report.bill)
            report.states[answer.state] += 1
            counts.kept += answer.state == "kept"
            counts.correct += attempt.is_correct
            if attempt.rejected:
                counts.rejected += 1
                report.rejected[attempt.rejected.partition(" (")[0]] += 1
            if answer.state == "kept":
                report.outcomes[attempt.graded.outcome] += 1
            else:
                report.first_missing = report.first_missing or f"{item.id}: {answer.why}"
        right = len(Sampled([a for a in found.attempts if a.round <= round_], ()).correct())
        counts.histogram[right] += 1
        if right and not covered:
            counts.newly_covered += 1
            covered = True
    too_few = len(found.correct()) < plan.min_correct
    report.without_prefix += plan.strategy == "state_reset" and too_few and not last


def _count_bill(attempt: Attempt, counts: RoundCounts, bill: Bill) -> None:
    for backend, answer in attempt.billed:
        bill.add(answer, backend)
        requests, tokens = answer.state != "open", answer.prompt_tokens + answer.completion_tokens
        counts.requests += requests
        counts.tokens += tokens
        if backend == TEACHER:
            counts.teacher["requests"] += requests
            counts.teacher["tokens"] += tokens
