"""What changed when samples were graded again: by file and filter, and by rule."""

from __future__ import annotations

from collections.abc import Sequence

from cotdistill.results.rescore import Rescored
from cotdistill.results.run_names import run_names
from cotdistill.tables import Table, counted


def score_changes(done: Sequence[Rescored]) -> Table:
    """Return a row a file and old filter: what the score was, what it is, how many moved."""
    rows: list[tuple[str, ...]] = []
    names = run_names([one.file for one in done])
    for run, one in zip(names, done, strict=True):
        new = one.score
        for name, old in one.before.items() or [("", None)]:
            rows.append(
                (
                    run,
                    one.file.task,
                    name,
                    str(one.questions - one.without_gold),
                    "" if old is None else f"{100 * old:.1f}",
                    f"{100 * new.value:.1f}",
                    f"{100 * new.low:.1f} - {100 * new.high:.1f}",
                    str(one.up),
                    str(one.down),
                    str(one.outcomes["timeout"]),
                    *_over_samples(one),
                )
            )
    moved = ("score before", "now", "95 % interval", "up", "down", "timeouts", "pass@k", "maj@k")
    columns: tuple[str, ...] = ("run", "task", "filter", "questions", *moved)
    if not any(row[-1] for row in rows):
        columns, rows = columns[:-2], [row[:-2] for row in rows]
    notes = [
        f"{one.file.path.name}: {counted(count, what)} {why}"
        for one in done
        for count, what, why in [
            (one.without_gold, "question", "without a gold answer left out of the score"),
            (one.repeated_rows, "row", "left out as repeating a question and filter"),
        ]
        if count
    ]
    return Table(columns, tuple(rows), tuple(notes))


def _over_samples(one: Rescored) -> tuple[str, str]:
    """Return pass@k and maj@k for the largest k, where questions have several responses."""
    steps = [int(name.partition("@")[2]) for name in one.over_samples if name.startswith("maj@")]
    if not steps:
        return "", ""
    most = max(steps)
    return (
        f"{100 * one.over_samples[f'pass@{most}']:.1f} (k = {most})",
        f"{100 * one.over_samples[f'maj@{most}']:.1f} (k = {most})",
    )


def rule_table(done: Sequence[Rescored]) -> Table:
    """Return a row an outcome and rule, commonest first: what it read, what moved by it."""
    rows = [
        (
            run,
            one.file.task,
            outcome,
            rule,
            *map(str, (change.responses, change.up, change.down)),
        )
        for run, one in zip(run_names([one.file for one in done]), done, strict=True)
        for (outcome, rule), change in sorted(
            one.rules.items(), key=lambda rule: (-rule[1].responses, rule[0])
        )
    ]
    columns = ("run", "task", "outcome", "rule", "responses", "up", "down")
    return Table(columns, tuple(rows))
