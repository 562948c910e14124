"""Model and dataset cards in the hub's form: a header for its index, then what a reader must know.

A model card names the arm, its ledger, teacher, licences, decontamination and study; what the run
folder does not say is named as not known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cotdistill import __version__
from cotdistill.files.ledger import Ledger
from cotdistill.files.templates import render
from cotdistill.results.publish.described import Folder, ledger_of, licences_of, sources_of
from cotdistill.results.run_results import RunResult
from cotdistill.studies.resolved_arm import ResolvedArm
from cotdistill.tables import Table, markdown_of

_REPORTED = ("dataset", "model_name_or_path", "output_dir", "dataset_dir", "media_dir")


@dataclass(frozen=True)
class Card:
    """A card: whether of a model or a dataset, whose, its text, and what belongs next to it."""

    kind: str
    name: str
    text: str
    contents: Path | None


def model_cards(folder: Folder) -> Iterator[Card]:
    """Yield the card of each trained and finished run, in the manifest's order."""
    for run in folder.results.runs:
        if run.finished and run.trained:
            trained = folder.manifest[run.run].outputs
            weights = folder.path / (trained.export or trained.train or "")
            yield Card("models", run.run, _model_card(folder, run), weights)


def dataset_cards(folder: Folder) -> Iterator[Card]:
    """Yield the card of each arm that a finished run was trained on and whose rows are here."""
    seen: set[str] = set()
    for run in folder.results.runs:
        arm = folder.arm(run)
        if not run.finished or arm is None or arm.name in seen or run.data is None:
            continue
        seen.add(arm.name)
        yield Card("datasets", arm.name, _dataset_card(folder, arm, ledger_of(run)), run.data)


def _model_card(folder: Folder, run: RunResult) -> str:
    arm, base, ledger = folder.arm(run), folder.base(run), ledger_of(run)
    on_hub = base is not None and not Path(base).is_dir() and base.count("/") == 1
    header: dict[str, Any] = {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["cotdistill", "chain-of-thought", "distillation"],
        "base_model": base if on_hub else None,
        "datasets": [one.registration.hf_hub_url for one in sources_of(arm) if one.registration
                     and one.registration.hf_hub_url] if arm else [],
        "model-index": [{"name": folder.model_id(run), "results": list(_index(run))}],
    }  # fmt: skip
    rows = tuple(
        (
            score.task,
            score.metric,
            f"{100 * score.score.value:.1f} % [{100 * score.score.low:.1f}, "
            f"{100 * score.score.high:.1f}]",
            f"{score.questions:,}",
        )
        for score in run.scores
    )
    data = _data(folder, arm, ledger) if arm else "Not known."
    return render(
        "cards/model.md.j2",
        {
            "header": _header(header),
            "id": folder.model_id(run),
            "study": folder.study,
            "about": folder.declared.about,
            "arm": run.arm,
            "base": base,
            "version": __version__,
            "details": list(folder.details(run).items()),
            "config": _config(run.config),
            "data": data,
            "scores": markdown_of(Table(("task", "metric", "score", "questions"), rows)),
        },
    )


def _dataset_card(folder: Folder, arm: ResolvedArm, ledger: Ledger | None) -> str:
    declared = arm.declared.model_dump(exclude_none=True, exclude_defaults=True)
    return render(
        "cards/dataset.md.j2",
        {
            "header": _header(
                {
                    "task_categories": ["text-generation"],
                    "tags": ["cotdistill", "chain-of-thought", "distillation"],
                    "license": "other",
                }
            ),
            "id": f"{folder.study}/{arm.name}",
            "study": folder.study,
            "about": folder.declared.about,
            "arm": arm.name,
            "version": __version__,
            "sources": _sources(arm),
            "counts": _counts(ledger),
            "decontamination": _decontamination(folder, arm),
            "declared": yaml.safe_dump(declared, sort_keys=False, allow_unicode=True),
        },
    )


def _data(folder: Folder, arm: ResolvedArm, ledger: Ledger | None) -> str:
    parts = [_sources(arm), _counts(ledger), _decontamination(folder, arm)]
    return "\n\n".join(parts)


def _sources(arm: ResolvedArm) -> str:
    licences = licences_of(arm)
    rows = []
    for source in sources_of(arm):
        registered = source.registration
        about = registered.about if registered else None
        teacher = about.factors.get("teacher") if about else None
        if about and about.cell:
            teacher = about.cell.teacher
        where = about.source if about else "generated puzzles" if source.puzzles else source.name
        rows.append((source.name, where, str(teacher or _teacher(arm)), licences[source.name]))
    return markdown_of(Table(("source", "from", "teacher", "licence"), tuple(rows)))


def _teacher(arm: ResolvedArm) -> str:
    asked = getattr(arm.declared, "teach", None) or getattr(arm.declared, "sample", None)
    model = getattr(asked, "model", None) or getattr(asked, "teacher", None)
    return str(model) if model else "not stated"


def _counts(ledger: Ledger | None) -> str:
    if ledger is None:
        return "No ledger: LLaMA-Factory fetched the rows itself."
    rows = tuple((reason, f"{count:,}") for reason, count in ledger.counts.items())
    files = "; ".join(
        f"`{Path(one.file).name}` {one.rows:,} rows, sha256 `{one.sha256}`"
        for one in ledger.outputs
    )
    return f"{markdown_of(Table(('row', 'count'), rows))}\n\nWritten: {files}."


def _decontamination(folder: Folder, arm: ResolvedArm) -> str:
    plain = [part for part in (arm, *arm.parts) if part.filter]
    against = [name for part in plain if part.filter for name in part.filter.against]
    named = ", ".join(dict.fromkeys(against))
    tasks = ", ".join(use.task for use in folder.declared.evaluation.tasks)
    if named:
        return f"Rows that overlap with {named} were dropped; the study evaluates {tasks}."
    return (
        f"No rows were dropped for overlap with test questions. The study evaluates {tasks}; "
        "`cotdistill check` compares every arm with the questions of these tasks."
    )


def _config(path: Path | None) -> str:
    if path is None or not path.is_file():
        return "# not in the run folder\n"
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [
        line
        for line in lines
        if line and not line.startswith("#") and line.partition(":")[0] not in _REPORTED
    ]
    return "\n".join(kept) + "\n"


def _index(run: RunResult) -> Iterator[dict[str, Any]]:
    for score in run.scores:
        yield {
            "task": {"type": "text-generation"},
            "dataset": {"name": score.task, "type": score.task},
            "metrics": [{"type": score.metric, "value": round(score.score.value, 6)}],
        }


def _header(values: dict[str, Any]) -> str:
    kept = {name: value for name, value in values.items() if value}
    return yaml.safe_dump(kept, sort_keys=False, allow_unicode=True)
