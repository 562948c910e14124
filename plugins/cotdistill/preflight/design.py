"""A study's design: arms × factors × students × seeds, trained on and evaluated with what.

Arms of one kind that have the same factors are one row, as they are one entry of the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cotdistill.studies.arm import Arm, Factor
from cotdistill.studies.baselines import baseline_arms, without_baseline
from cotdistill.studies.notes import study_notes
from cotdistill.studies.resolve import Resolved
from cotdistill.studies.runs import Run
from cotdistill.studies.study import Study
from cotdistill.tables import Table

_SHOWN = 8
_LONGEST = 18


def design_table(resolved: Resolved) -> Table:
    """Return a row for each kind of arm and recipe, with factors and tasks in notes."""
    groups: dict[tuple[object, ...], list[Run]] = {}
    for run in resolved.runs:
        kind = type(resolved.study.arms.get(run.arm)).__name__
        recipe = run.recipe if run.is_trained else ""
        groups.setdefault((kind, tuple(run.factors), recipe), []).append(run)
    prompt = resolved.study.prompt
    notes = [note for runs in groups.values() for note in _notes(runs)]
    notes.append(f"rows ask {_words(prompt.instruction)}, tasks {_words(prompt.of_tasks)}")
    notes += baseline_notes(resolved.study)
    dev = [_dev_count(resolved, name) for name, q in resolved.study.questions.items() if q.dev]
    notes += [f"development questions, in no arm: {', '.join(dev)}"] if dev else []
    notes += study_notes(resolved.study)
    columns = ("arms", "trained on", "students", "recipe", "seeds", "runs")
    rows = tuple(_row(resolved, runs) for runs in groups.values())
    return Table(columns, rows, tuple(dict.fromkeys(notes)))


def _dev_count(resolved: Resolved, name: str) -> str:
    """Return a question set with the number of its development questions, as far as it is known."""
    declared, found = resolved.study.questions[name], resolved.sets.get(name)
    if found is not None and found.is_here:
        asked, held_out = len(found.dev), len(found.held_out)
        also = "" if asked == held_out else f", {asked} of them asked"
        return f"{name} ({held_out} of {len(found.rows)}{also})"
    if declared.dev >= 1:
        return f"{name} ({declared.dev:g})"
    return f"{name} (about {declared.dev:.0%}, drawn by hash)"


def baseline_notes(study: Study) -> Iterator[str]:
    """Say which baselines factors choose, and which arms have none."""
    if not isinstance(study.compare.baseline, dict):
        return
    found = baseline_arms(study)
    chosen = list(dict.fromkeys(arm for arm in found.values() if arm is not None))
    yield f"each arm is compared with the baseline of its group: {_listed(chosen)}"
    if alone := without_baseline(study):
        yield f"in no group with a baseline, so not compared: {_listed(alone)}"


def _row(resolved: Resolved, runs: Sequence[Run]) -> tuple[str, ...]:
    seeds = list(dict.fromkeys(run.seed for run in runs if run.seed is not None))
    declared = resolved.study.arms.get(runs[0].arm)
    return (
        _named([run.arm for run in runs]),
        _source(declared) if runs[0].is_trained else "nothing",
        _named([run.student.name for run in runs]),
        runs[0].recipe,
        _listed(seeds) or "-",
        str(len(runs)),
    )


def _named(names: Sequence[str]) -> str:
    """Return the first of several names, short, with their number.

    >>> _named(["a", "b", "a"]), _named(["a-very-long-name-of-an-arm"])
    ('2: a ...', 'a-very-long-nam...')
    """
    once = list(dict.fromkeys(names))
    short = once[0] if len(once[0]) <= _LONGEST else f"{once[0][: _LONGEST - 3]}..."
    return short if len(once) == 1 else f"{len(once)}: {short} ..."


def _notes(runs: Sequence[Run]) -> Iterator[str]:
    name = _named([run.arm for run in runs])
    factors = "; ".join(f"{factor}: {_values(runs, factor)}" for factor in runs[0].factors)
    if factors:
        yield f"{name}: {factors}"
    tasks = list(dict.fromkeys(use.task for run in runs for use in run.tasks))
    yield f"{name}: asked {_listed(tasks)}"


def _values(runs: Sequence[Run], name: str) -> str:
    values: list[Factor] = list(dict.fromkeys(run.factors.get(name) for run in runs))
    return _listed(values)


def _listed(values: Sequence[object]) -> str:
    shown = ", ".join(map(str, values[:_SHOWN]))
    return shown + (f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else "")


def _source(arm: Arm | None) -> str:
    if arm is None:
        return "-"
    words = {"DatasetArm": "dataset", "FileArm": "file", "MixedArm": "mix", "PuzzleArm": "puzzles",
             "AnswersArm": "answers", "TeachArm": "teacher", "SampleArm": "samples"}  # fmt: skip
    return words.get(type(arm).__name__, "-")


def _words(instruction: str) -> str:
    known = {"none": "the bare question", "task": "each task's own words"}
    return known.get(instruction, repr(instruction))
