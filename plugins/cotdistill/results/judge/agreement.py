"""How far the two stages agree, what the judge changed, and whether the order of runs holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from cotdistill.results.judge.ask import TRUNCATED, Spent
from cotdistill.results.judge.responses import JudgedFile
from cotdistill.stats.confidence import Interval, score_interval, wilson
from cotdistill.stats.significance import kappa
from cotdistill.tables import Table, counted


@dataclass(frozen=True)
class Agreement:
    """What both stages say of one samples file; fractions in [0, 1].

    `confusion` counts responses by (the grader says correct, the judge's ruling), on the correct
    side audited ones only. `kappa` weighs the audited ones up to all correct ones. `judged` takes
    the judge's ruling where the grader says anything but "correct"; `corrected` also takes off the
    share of correct ones that the audit calls wrong (`false_correct`).
    """

    run: str
    task: str
    responses: int
    grader: Interval
    judged: Interval
    corrected: float
    confusion: Counter[tuple[bool, str]]
    false_correct: Interval | None
    kappa: float | None
    unanswered: int
    truncated: int = 0
    without_gold: int = 0


def agreement(judged: JudgedFile, run: str | None = None) -> Agreement:
    """Return how the two stages agree on one samples file; `run` names it in tables.

    Questions without a reference answer are left out and counted.
    """
    graded = [(one, one.grade) for one in judged.responses if one.grade is not None]
    responses = [response for response, _ in graded]
    opinions = [(grade.correct, one.opinion) for one, grade in graded if one.opinion is not None]
    confusion: Counter[tuple[bool, str]] = Counter(
        (correct, opinion.ruling) for correct, opinion in opinions
    )
    correct = sum(grade.correct for _, grade in graded)
    kept, taken = confusion[True, "correct"], confusion[True, "wrong"]
    audited = kept + taken
    false_correct = wilson(taken, audited) if audited else None
    weight = Fraction(correct, audited) if audited else Fraction(0)
    both = (kept * weight, taken * weight, confusion[False, "correct"], confusion[False, "wrong"])
    questions = [
        answers for answers in judged.by_question().values() if answers[0].grade is not None
    ]
    grader = score_interval(
        [sum(bool(one.grade and one.grade.correct) for one in q) / len(q) for q in questions]
    )
    after = score_interval([sum(one.correct for one in q) / len(q) for q in questions])
    wrongly = false_correct.value * grader.value if false_correct else 0.0
    return Agreement(
        run=run or judged.file.path.parent.name,
        task=judged.file.task,
        responses=len(responses),
        grader=grader,
        judged=after,
        corrected=after.value - wrongly,
        confusion=confusion,
        false_correct=false_correct,
        kappa=kappa(*both),
        truncated=sum(opinion.reason == TRUNCATED for _, opinion in opinions),
        unanswered=sum(one.asked and one.opinion is None for one in responses),
        without_gold=len({one.question.id for one in judged.responses if one.grade is None}),
    )


def agreement_table(agreements: Sequence[Agreement], spent: Spent) -> Table:
    """Return a row a samples file: scores before and after, agreement, rank before and after."""
    scores = ("grader %", "judged %", "95 % interval", "corrected %")
    agreed = ("raised", "audit: kept/taken/undecided", "kappa", "rank")
    columns = ("run", "task", "responses", *scores, *agreed)
    rows = []
    for one in agreements:
        peers = [other for other in agreements if other.task == one.task]
        ranks = [
            1 + sum(_scores(other)[stage] > _scores(one)[stage] for other in peers)
            for stage in range(3)
        ]
        c = one.confusion
        rows.append(
            (
                one.run,
                one.task,
                str(one.responses),
                f"{100 * one.grader.value:.1f}",
                f"{100 * one.judged.value:.1f}",
                f"{100 * one.judged.low:.1f} - {100 * one.judged.high:.1f}",
                f"{100 * one.corrected:.1f}",
                str(c[False, "correct"]),
                f"{c[True, 'correct']}/{c[True, 'wrong']}/{c[True, 'undecided']}",
                "" if one.kappa is None else f"{one.kappa:.2f}",
                " → ".join(map(str, ranks)) if len(peers) > 1 else "",
            )
        )
    return Table(columns, tuple(rows), tuple(_notes(agreements, spent)))


def _scores(one: Agreement) -> tuple[float, float, float]:
    return one.grader.value, one.judged.value, one.corrected


def _notes(agreements: Sequence[Agreement], spent: Spent) -> list[str]:
    notes = [
        f"asked {spent.asked:,}, known from before {spent.known:,}, failed {spent.failed:,}, left "
        f"out by the budget {spent.left:,}; {spent.prompt_tokens:,} prompt and "
        f"{spent.reply_tokens:,} reply tokens"
    ]
    if spent.failed:
        notes.append(f"{counted(spent.failed, 'request')} failed, last: {spent.last_failure}")
    for one in agreements:
        name = f"{one.run}, {one.task}"
        if one.without_gold:
            notes.append(
                f"{name}: {counted(one.without_gold, 'question')} without a reference answer "
                "left out of the scores"
            )
        if one.unanswered:
            notes.append(
                f"{name}: {one.unanswered} responses have no verdict from the judge and keep the "
                "grader's; run the same command again to ask about them"
            )
        if one.false_correct is not None and one.false_correct.value:
            low, high = 100 * one.false_correct.low, 100 * one.false_correct.high
            notes.append(
                f"{name}: the audit calls {100 * one.false_correct.value:.1f} % of the grader's "
                f"correct answers wrong (95 % interval {low:.1f} - {high:.1f}); read them in "
                "judged/disagreements"
            )
        undecided = one.confusion[False, "undecided"]
        if undecided:
            cut = f"; {one.truncated} replies were truncated: raise --max-tokens"
            cut *= bool(one.truncated)
            notes.append(f"{name}: the judge left {undecided} responses undecided{cut}")
    return notes
