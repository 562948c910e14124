"""What makes scores doubtful although every file is whole: other prompts, another model, one twice.

None of it is an error for certain, so each is a line for the reader and changes no number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from cotdistill.errors import FaultsError
from cotdistill.files.yamls import read_yaml
from cotdistill.results.question_scores import QuestionScores
from cotdistill.results.questions import joined
from cotdistill.results.run_settings import model_of
from cotdistill.runfolder.manifest import ManifestRun
from cotdistill.stats.crossed_test import FEWEST_QUESTIONS
from cotdistill.tables import counted

_NAMED = 3  # runs that a line names


def same_responses(tables: Mapping[str, QuestionScores]) -> list[str]:
    """Return a line for runs that gave the same responses to all questions of a task.

    Two random seeds, or two arms, of which that is true are one model that was scored twice: a
    copied folder, a seed without an effect, or a training without one. A model that says the same
    to every question tells nothing, nor do fewer than six questions; and a loop that found none
    better than the model that it started from is a link to that one.
    """
    alike: dict[tuple[str, int], list[str]] = {}
    for run, table in _without_links(tables).items():
        if table.responses_hash and len(table.values) >= FEWEST_QUESTIONS:
            alike.setdefault((table.file.task, table.responses_hash), []).append(run)
    return [
        f"{task}: {_names(runs)} gave the same responses to all questions: one model scored "
        f"{'twice' if len(runs) == 2 else 'several times'}?"
        for (task, _), runs in alike.items()
        if len(runs) > 1
    ]


def _without_links(tables: Mapping[str, QuestionScores]) -> dict[str, QuestionScores]:
    """Leave out runs whose model is a link to that of another one, or the other way round."""
    kept: dict[str, QuestionScores] = {}
    folders: dict[Path, str] = {}
    for run, table in tables.items():
        folder = Path(table.model)
        if table.model and folder.is_dir():
            first = folders.setdefault(folder.resolve(), table.model)
            if first != table.model:
                continue
        kept[run] = table
    return kept


def other_prompts(tables: Mapping[str, QuestionScores]) -> list[str]:
    """Return a line where runs on one task were asked the same questions with other prompts.

    The runs are of one student, since each student has its own chat template.
    """
    names = [run for run, table in tables.items() if table.prompts]
    asked = joined([tables[run].prompts for run in names])
    others: list[str] = []
    most = shared = 0
    for run, prompts in zip(names[1:], asked[1:], strict=True):
        both = [name for name in prompts if name in asked[0]]
        different = sum(prompts[name] != asked[0][name] for name in both)
        if different:
            others.append(run)
            most, shared = max((most, shared), (different, len(both)))
    if not others:
        return []
    return [
        f"{tables[names[0]].file.task}: {_names(others)} asked {most:,} of "
        f"{counted(shared, 'question')} with another prompt than {names[0]}, so their scores may "
        "not compare"
    ]


def shares_start(folder: Path, run: ManifestRun) -> bool:
    """Say whether all seeds of a run's arm begin from the same random weights.

    Scratch students lie in the run folder with weights, from which adapters are trained, and whole
    models were before the host drew others for each seed (`train_from_scratch`).
    """
    if run.files.student is None or run.files.train is None:
        return False
    config = folder / run.files.train
    try:
        return config.is_file() and not read_yaml(config).get("train_from_scratch")
    except (FaultsError, AttributeError):
        return False


def one_draw(students: Iterable[str]) -> list[str]:
    """Return a line for each student whose seeds share their first weights."""
    return [
        f"{student} began from random weights that were drawn once for each arm and not for each "
        "seed: a difference between arms may be one of first weights, which no run sd holds"
        for student in dict.fromkeys(students)
    ]


def other_model(config: Path, logged: Sequence[Mapping[str, Any]]) -> str:
    """Say that scores are of another model than a run's evaluation file names, else nothing.

    `logged` are the settings in the results files. Of a path the last two parts must be equal, for
    a run folder may have been moved since.
    """
    try:
        wanted = model_of(read_yaml(config)) if config.is_file() else ""
    except (FaultsError, AttributeError):
        return ""
    for settings in logged:
        scored = model_of(settings)
        if wanted and scored and PurePath(scored).parts[-2:] != PurePath(wanted).parts[-2:]:
            return f"scores are of the model {scored}, but {config.name} names {wanted}"
    return ""


def _names(runs: Sequence[str]) -> str:
    if len(runs) <= _NAMED:
        return " and ".join(filter(None, [", ".join(runs[:-1]), runs[-1]]))
    return f"{', '.join(runs[:_NAMED])} and {len(runs) - _NAMED} more"
