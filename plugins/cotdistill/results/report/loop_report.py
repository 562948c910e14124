"""What a report says of loops and races: a row a round, a row an arm, and how rounds develop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cotdistill.results.matrix import file_name
from cotdistill.results.report.charts import Axes, Curve, Figure, Point, curves, heat_map
from cotdistill.results.report.factor_tables import TitledTable
from cotdistill.runfolder.manifest import ManifestRun, read_manifest
from cotdistill.runfolder.race import FOLDER as RACES
from cotdistill.runfolder.race_records import RaceRecord, read_race
from cotdistill.runfolder.round_records import (
    Choice,
    RoundData,
    RoundDecision,
    read_choice,
    read_data,
    read_decision,
)
from cotdistill.stats.confidence import Interval
from cotdistill.tables import Table

_NONE = float("nan")
_MOST_BINS = 60  # rows of a heat map
_ABOUT_ROUNDS = (
    "Development questions choose the round and end the loop; the scores above are of the chosen "
    "round on the test questions, asked once. Gains are points over the best round before, with "
    "95 % intervals over questions. Rows and seconds are what the round was trained on and took."
)
_ABOUT_RACE = (
    "Scores on development questions with the race's own random seeds. An arm that rests was "
    "behind with these seeds; that it is worse is not shown. What the study claims rests on the "
    "test questions and the seeds that the race has not seen."
)


@dataclass(frozen=True)
class DoneRound:
    """One round of a loop that was done."""

    number: int
    data: RoundData
    decision: RoundDecision


@dataclass(frozen=True)
class DoneLoop:
    """One run of a loop with its rounds, and the round that was chosen if it has ended.

    `name` is that of its arm, where no other run has the same.
    """

    run: ManifestRun
    rounds: tuple[DoneRound, ...]
    choice: Choice | None
    name: str = ""


def loops_in(folder: Path) -> list[DoneLoop]:
    """Return the loops of a run folder as far as they are done."""
    found = []
    for run in read_manifest(folder, for_results=True):
        rounds = []
        for number in range(1, (run.rounds or 0) + 1):
            name = f"{run.run}--round{number}"
            data, decision = read_data(folder, name), read_decision(folder, name)
            if data is None or decision is None or decision.round != number:
                break
            rounds.append(DoneRound(number, data, decision))
        if rounds:
            found.append(DoneLoop(run, tuple(rounds), read_choice(folder, run.run)))
    return found


def _named_loops(folders: Sequence[Path]) -> list[DoneLoop]:
    """Return the loops of all folders, each by the shortest name that is its own."""
    found = [(folder, loop) for folder in folders for loop in loops_in(folder)]
    arms = Counter(loop.run.arm for _, loop in found)
    runs = Counter(loop.run.run for _, loop in found)
    named = []
    for folder, loop in found:
        arm, run = loop.run.arm, loop.run.run
        name = arm if arms[arm] == 1 else run if runs[run] == 1 else f"{folder.name} · {run}"
        named.append(replace(loop, name=name))
    return named


def loop_tables(folders: Sequence[Path]) -> list[TitledTable]:
    """Return the rounds of all loops, and how the arms of all races stood."""
    made = []
    loops = _named_loops(folders)
    if loops:
        made.append(TitledTable("Rounds", _ABOUT_ROUNDS, round_table(loops)))
    for folder in folders:
        for name, records in races_in(folder):
            made.append(TitledTable(f"Race of {name}", _ABOUT_RACE, race_table(records)))
    return made


def round_table(loops: Sequence[DoneLoop]) -> Table:
    """Return a row a round, with the alarms of all rounds as notes."""
    columns = (
        "run", "round", "dev score %", "gain", "95 % interval", "covered %", "hardest covered %",
        "hardest rows %", "rows", "dropped", "tokens", "seconds", "alarms",
    )  # fmt: skip
    rows, notes = [], []
    for loop in loops:
        start = loop.choice.dev[0] if loop.choice else None
        chosen = loop.choice.round if loop.choice else None
        if start is not None:
            mark = " (chosen)" if chosen == 0 else ""
            rows.append((loop.name, f"0{mark}", f"{100 * start:.1f}", *["–"] * 10))
        for one in loop.rounds:
            data, decision = one.data, one.decision
            hardest = data.bins[-1].coverage if data.bins else None
            rows.append(
                (
                    loop.name,
                    f"{one.number} (chosen)" if chosen == one.number else str(one.number),
                    f"{100 * decision.dev:.1f}",
                    f"{decision.gain:+.1f}",
                    f"{decision.low:+.1f} to {decision.high:+.1f}",
                    f"{100 * data.coverage:.1f}",
                    _share(hardest),
                    _share(data.hardest_share),
                    f"{sum(data.rows.values()):,}",
                    f"{sum(data.dropped.values()):,}",
                    f"{data.tokens:,}",
                    f"{sum(decision.seconds.values()):,.0f}",
                    str(len(decision.alarms)) if decision.alarms else "–",
                )
            )
            notes += [f"{loop.name}, round {one.number}: {line}" for line in decision.alarms]
        if loop.choice:
            notes.append(f"{loop.name}: {loop.choice.reason}")
    return Table(columns, tuple(rows), tuple(notes))


def races_in(folder: Path) -> Iterator[tuple[str, list[RaceRecord]]]:
    """Yield the races of a run folder with the records of their batches, the first one first."""
    names = sorted(path.stem for path in (folder / RACES).glob("*.json"))
    for heat in dict.fromkeys(name.partition("--batch")[0] for name in names):
        found = [read_race(folder, name) for name in names if name.partition("--batch")[0] == heat]
        yield heat, sorted((one for one in found if one), key=lambda one: one.batch)


def race_table(records: Sequence[RaceRecord]) -> Table:
    """Return a row an arm: how it stood in the end, and after which batch it was left behind."""
    last = records[-1]
    columns = ("arm", "runs", "dev score", "standard error", "behind the leader", "outcome")
    rows = []
    for one in last.places:
        rested = [record.batch for record in records[:-1] if one.arm in record.skip]
        outcome = "compared on the test questions" if one.arm in last.goes_on else "dropped"
        if rested:
            outcome += f"; rested after batch {', '.join(map(str, rested))}"
        rows.append(
            (
                one.arm,
                str(one.runs),
                f"{one.mean:.1f}",
                f"{one.se:.1f}",
                f"{one.behind:.1f}",
                outcome,
            )
        )
    notes = [
        f"{last.done} of at most {last.planned} runs; procedure {last.procedure}; "
        f"run sd {last.run_sd:.1f} points",
        *(f"{arm}: {why}" for arm, why in last.skip.items()),
    ]
    return Table(columns, tuple(rows), tuple(notes))


def loop_figures(folders: Sequence[Path]) -> Iterator[Figure]:
    """Yield how loops develop: scores, coverage and rows by difficulty, correct answers, texts."""
    loops = _named_loops(folders)
    if not loops:
        return
    yield _over_rounds(
        "rounds-score", "Development score by round", "The score that chooses the round.",
        [(loop.name, _dev(loop)) for loop in loops], "development score",
    )  # fmt: skip
    yield _over_rounds(
        "rounds-coverage", "Coverage by round", "Questions with at least one correct sample.",
        [(x.name, [(r.number, r.data.coverage) for r in x.rounds]) for x in loops], "covered",
    )  # fmt: skip
    yield _over_rounds(
        "rounds-distinct", "Distinct answers by round", "Correct samples that are no copies.",
        [
            (x.name, [(r.number, d) for r in x.rounds if (d := r.data.distinct) is not None])
            for x in loops
        ],
        "distinct",
    )  # fmt: skip
    for loop in loops:
        yield from _of_loop(loop)


def _of_loop(loop: DoneLoop) -> Iterator[Figure]:
    name, title = file_name(loop.name), loop.name
    names = [_difficulty(one.name) for one in loop.rounds[0].data.bins]
    if names:
        covered = [
            (
                label,
                [(r.number, r.data.bins[n].coverage) for r in loop.rounds if n < len(r.data.bins)],
            )
            for n, label in enumerate(names)
        ]
        about = "Questions with a correct sample, by difficulty; the last line is the hardest."
        made = (f"rounds-{name}-difficulty", f"Coverage by difficulty: {title}", about)
        yield _over_rounds(*made, covered, "covered")
        rows = [
            (label, [(r.number, _rows_share(r.data, n)) for r in loop.rounds])
            for n, label in enumerate(names)
        ]
        about = (
            "Share of the new training rows by difficulty. Where the hardest lose their share from "
            "round to round, the tail narrows (Ding et al. 2024, arXiv:2411.00750)."
        )
        yield _over_rounds(f"rounds-{name}-tail", f"Tail narrowing: {title}", about, rows, "rows")
        yield from _correct_by_difficulty(loop, name, title)
    lines = []
    for one in loop.rounds:
        total = one.data.questions or 1
        points = [(int(k), count / total) for k, count in one.data.correct.items()]
        lines.append((f"round {one.number}", sorted(points)))
    about = "Share of questions by how many different correct answers they have."
    made = (f"rounds-{name}-correct", f"Correct answers a question: {title}", about)
    yield _over_rounds(*made, lines, "questions", "correct answers")


def _correct_by_difficulty(loop: DoneLoop, name: str, title: str) -> Iterator[Figure]:
    """Yield how many correct answers questions have, by round and difficulty, as a heat map."""
    bins = [
        (f"round {r.number}, {_difficulty(b.name)}", b) for r in loop.rounds for b in r.data.bins
    ]
    counts = sorted({int(count) for _, one in bins for count in one.correct})
    if not counts or len(bins) > _MOST_BINS:
        return
    cells = [
        [
            Interval(one.correct.get(str(count), 0) / one.questions, _NONE, _NONE)
            if one.questions
            else None
            for count in counts
        ]
        for _, one in bins
    ]
    yield heat_map(
        f"rounds-{name}-correct-difficulty",
        f"Correct answers by difficulty: {title}",
        "Percent of the questions of a difficulty that have so many different correct answers "
        "(across), round by round.",
        ([label for label, _ in bins], [str(count) for count in counts]),
        cells,
    )


def _over_rounds(
    name: str,
    title: str,
    about: str,
    lines: Sequence[tuple[str, Sequence[tuple[int, float]]]],
    label: str,
    across: str = "round",
) -> Figure:
    drawn = [
        Curve(line, tuple(Point(x, Interval(y, _NONE, _NONE)) for x, y in points))
        for line, points in lines
        if points
    ]
    values = sorted({x for _, points in lines for x, _ in points})
    ticks = [(float(x), str(x)) for x in values]
    return curves(name, title, about, drawn, Axes(across, label, ticks=ticks))


def _dev(loop: DoneLoop) -> list[tuple[int, float]]:
    start = loop.choice.dev[0] if loop.choice else None
    first = [(0, start)] if start is not None else []
    return [*first, *((one.number, one.decision.dev) for one in loop.rounds)]


def _rows_share(data: RoundData, number: int) -> float:
    total = sum(one.rows for one in data.bins)
    return data.bins[number].rows / total if total and number < len(data.bins) else 0.0


def _difficulty(name: str) -> str:
    """Return what to call a difficulty: a number alone says nothing in a legend."""
    return f"difficulty {name}" if name.isdigit() else name


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f}"
