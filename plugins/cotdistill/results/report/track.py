"""Send a study's scores, curves and training sets to experiment trackers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cotdistill.files.ledger import ledger_path, read_ledger
from cotdistill.hosts.trackers import Tracked, tracker
from cotdistill.results.run_results import Results, RunResult


def track_results(results: Results, names: Sequence[str]) -> list[str]:
    """Send every finished run of a run folder to the named trackers and say where each went.

    Raises:
        MisuseError: a tracker is not known or not installed; then nothing is sent anywhere.
    """
    adapters = [tracker(name) for name in names]
    folder = results.folder
    study = folder.resolve().name
    return [
        adapt(folder / "report", _tracked(folder, study, run))
        for adapt in adapters
        for run in results.runs
        if run.finished
    ]


def _tracked(folder: Path, study: str, run: RunResult) -> Tracked:
    scores: dict[str, float] = {}
    for score in run.scores:
        scores[f"{score.task}/{score.metric}"] = score.score.value
        scores[f"{score.task}/low"] = score.score.low
        scores[f"{score.task}/high"] = score.score.high
    settings = {name: str(getattr(run, name)) for name in ("student", "arm", "recipe", "seed")}
    return Tracked(
        study=study,
        run=run.run,
        settings=settings | _ledger(folder, run.arm),
        curve=run.training.curve if run.training else (),
        scores=scores,
    )


def _ledger(folder: Path, arm: str) -> dict[str, str]:
    path = folder / "data" / f"{arm}.jsonl"
    if not ledger_path(path).is_file():
        return {}
    ledger = read_ledger(path)
    found = {"data.made_by": str(ledger.made_by)}
    if ledger.outputs:
        found["data.sha256"] = ledger.outputs[0].sha256
    return found | {f"data.{reason}": str(count) for reason, count in ledger.counts.items()}
