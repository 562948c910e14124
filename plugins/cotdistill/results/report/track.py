"""Send a study's scores, curves and training sets to experiment trackers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from cotdistill.hosts.trackers import Tracked, tracker
from cotdistill.results.collect import RunResult, collect
from cotdistill.results.verdict_files import Source


def track_results(folder: Path, names: Sequence[str], source: Source = "run") -> list[str]:
    """Send every finished run of a run folder to the named trackers and say where each went.

    Raises:
        MisuseError: a tracker is not known or not installed; then nothing is sent anywhere.
        DataError: the folder is not a run folder.
    """
    adapters = [tracker(name) for name in names]
    results = collect(folder, source)
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
    path = folder / "data" / f"{arm}.ledger.json"
    if not path.is_file():
        return {}
    held = json.loads(path.read_text(encoding="utf-8"))
    outputs = held.get("outputs") or [{}]
    found = {"data.made_by": held.get("made_by"), "data.sha256": outputs[0].get("sha256")}
    found |= {f"data.{reason}": count for reason, count in (held.get("counts") or {}).items()}
    return {name: str(value) for name, value in found.items() if value is not None}
