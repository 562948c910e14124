"""How far the two stages agree, what the judge changed, and whether the order of runs holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from cotdistill.errors import DataError, Fault
from cotdistill.results.judge.judge import CUT_OFF, Judged, Spent
from cotdistill.results.questions import QuestionId
from cotdistill.stats.confidence import Interval, score_interval, wilson
from cotdistill.stats.significance import kappa
from cotdistill.tables import Table


@dataclass(frozen=True)
class Agreement:
    """What both stages say of one samples file.

    `confusion` counts responses by (the grader says right, the judge's ruling), audited ones only
    on the right side. `kappa` weighs the audited ones up to all right ones. `judged` takes the
    judge's word where the grader says anything but "right"; `corrected` also takes off the share
    of right ones that the audit calls wrong.
    """

    run: str
    task: str
    responses: int
    rule: Interval
    judged: Interval
    corrected: float
    confusion: Counter[tuple[bool, str]]
    false_right: Interval | None
    kappa: float | None
    unanswered: int
    cut_off: int = 0
    without_gold: int = 0


def agreement(judged: Judged, run: str | None = None) -> Agreement:
    """Return how the two stages agree on one samples file; `run` names it in tables.

    Questions without a reference answer are left out and counted.

    Raises:
        DataError: no question has a reference answer.
    """
    graded = [(item, item.grade) for item in judged.items if item.grade is not None]
    items = [item for item, _ in graded]
    if not items:
        wrong = "no question has a reference answer"
        remedy = "give the answers with --golds FILE (rows of question and gold)"
        raise DataError(Fault(str(judged.file.path), wrong, "", remedy))
    confusion: Counter[tuple[bool, str]] = Counter(
        (grade.correct, item.opinion.ruling) for item, grade in graded if item.opinion is not None
    )
    right = sum(grade.correct for _, grade in graded)
    kept, taken = confusion[True, "correct"], confusion[True, "wrong"]
    audited = kept + taken
    false_right = wilson(taken, audited) if audited else None
    weight = Fraction(right, audited) if audited else Fraction(0)
    both = (kept * weight, taken * weight, confusion[False, "correct"], confusion[False, "wrong"])
    rule = score_interval(_by_question((item.question, grade.correct) for item, grade in graded))
    after = score_interval(_by_question((item.question, item.correct) for item in items))
    wrongly = false_right.value * rule.value if false_right else 0.0
    return Agreement(
        run=run or judged.file.path.parent.name,
        task=judged.file.task,
        responses=len(items),
        rule=rule,
        judged=after,
        corrected=after.value - wrongly,
        confusion=confusion,
        false_right=false_right,
        kappa=kappa(*both),
        cut_off=sum(item.opinion is not None and item.opinion.reason == CUT_OFF for item in items),
        unanswered=sum(item.asked and item.opinion is None for item in items),
        without_gold=len({item.question for item in judged.items if item.grade is None}),
    )


def _by_question(verdicts: Iterable[tuple[QuestionId, bool]]) -> list[float]:
    by_question: dict[QuestionId, list[bool]] = {}
    for question, correct in verdicts:
        by_question.setdefault(question, []).append(correct)
    return [sum(correct) / len(correct) for correct in by_question.values()]


def agreement_table(found: Sequence[Agreement], spent: Spent) -> Table:
    """Return a row a samples file: scores before and after, agreement, rank before and after."""
    scores = ("grader %", "judged %", "95 % interval", "corrected %")
    agreed = ("raised", "audit: kept/taken/undecided", "kappa", "rank")
    columns = ("run", "task", "responses", *scores, *agreed)
    rows = []
    for one in found:
        peers = [other for other in found if other.task == one.task]
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
                f"{100 * one.rule.value:.1f}",
                f"{100 * one.judged.value:.1f}",
                f"{100 * one.judged.low:.1f} - {100 * one.judged.high:.1f}",
                f"{100 * one.corrected:.1f}",
                str(c[False, "correct"]),
                f"{c[True, 'correct']}/{c[True, 'wrong']}/{c[True, 'undecided']}",
                "" if one.kappa is None else f"{one.kappa:.2f}",
                " → ".join(map(str, ranks)) if len(peers) > 1 else "",
            )
        )
    return Table(columns, tuple(rows), tuple(_notes(found, spent)))


def _scores(one: Agreement) -> tuple[float, float, float]:
    return one.rule.value, one.judged.value, one.corrected


def _notes(found: Sequence[Agreement], spent: Spent) -> list[str]:
    notes = [
        f"asked {spent.asked:,}, known from before {spent.known:,}, failed {spent.failed:,}, left "
        f"out by the budget {spent.left:,}; {spent.prompt_tokens:,} prompt and "
        f"{spent.reply_tokens:,} reply tokens"
    ]
    for one in found:
        name = f"{one.run}, {one.task}"
        if one.without_gold:
            notes.append(
                f"{name}: {one.without_gold} questions without a reference answer were left out "
                "of the scores"
            )
        if one.unanswered:
            notes.append(
                f"{name}: {one.unanswered} responses have no verdict of the judge and keep the "
                "grader's; the same command asks them again"
            )
        if one.false_right is not None and one.false_right.value:
            low, high = 100 * one.false_right.low, 100 * one.false_right.high
            notes.append(
                f"{name}: the audit calls {100 * one.false_right.value:.1f} % of the grader's "
                f"right answers wrong (95 % interval {low:.1f} - {high:.1f}); read them in "
                "disagreements"
            )
        undecided = one.confusion[False, "undecided"]
        if undecided:
            cut = f"; {one.cut_off} replies were cut off: raise --max-tokens" * bool(one.cut_off)
            notes.append(f"{name}: the judge left {undecided} responses undecided{cut}")
    return notes
