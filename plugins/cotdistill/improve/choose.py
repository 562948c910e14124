"""The round whose model a loop ends with: `checkpoints/<run>` becomes a link to its weights."""

from __future__ import annotations

import os
from pathlib import Path

from cotdistill.errors import DataError, Fault
from cotdistill.files.stale import link_in_place
from cotdistill.improve.loop import LoopRun, loop_run
from cotdistill.improve.weights import model_identity
from cotdistill.results.dev_scores import dev_score
from cotdistill.runfolder.round_paths import FOLDER, record_of
from cotdistill.runfolder.round_records import Choice, read_decision, write_choice


def choose(folder: Path, name: str) -> Choice:
    """Make the best round the loop's model, write which one it is, and return that.

    Raises:
        DataError: the record of a round or the weights of the chosen one are missing.
    """
    at = loop_run(folder, name)
    dev: list[float | None] = [dev_score(folder / FOLDER / "scores" / at.name(0)).mean]
    best, reason = 0, ""
    for number in range(1, at.loop.rounds + 1):
        decision = read_decision(folder, at.name(number))
        if decision is None:
            raise DataError(Fault(str(folder / record_of(at.name(number))), "no such file"))
        is_own = decision.round == number  # a skipped round passes on the record before it
        dev.append(decision.dev if is_own else None)
        best, reason = decision.best, decision.reason
    weights = ""
    outputs = {"checkpoints": at.run.outputs.train, "exported": at.run.outputs.export}
    for kind, output in outputs.items():
        if output is None:
            continue
        target = _weights(at, best, kind)
        link_in_place(folder, output, target)
        weights = os.path.relpath(target, folder) if target.is_relative_to(folder) else str(target)
    choice = Choice(best, tuple(dev), reason, weights, model_identity(folder, weights))
    write_choice(folder, name, choice)
    return choice


def _weights(at: LoopRun, number: int, kind: str) -> Path:
    """Return the folder of a round's weights.

    Raises:
        DataError: it is not there.
    """
    if number or at.loop.start is not None:
        source = at.name(number) if number else at.name(0).removesuffix("--round0")
        found = at.folder / kind / source
    else:
        found = _as_it_is(at)
    if not found.is_dir():
        wrong = "no such folder, and the loop ends with the model in it"
        raise DataError(Fault(str(found), wrong, "", "remove its record in done/, and run again"))
    return found


def _as_it_is(at: LoopRun) -> Path:
    """Return the folder of the student that the loop started from: a local one, or the cache's."""
    from cotdistill.hosts.hub import cached_model
    from cotdistill.studies.declared_model import MergedModel, NamedModel, merged_folder

    declared = at.study.models[at.run.student]
    if isinstance(declared, MergedModel):
        return at.folder / merged_folder(at.run.student)
    assert isinstance(declared, NamedModel)
    folder = Path(declared.model)
    return folder.resolve() if folder.is_dir() else cached_model(declared.model, declared.revision)
