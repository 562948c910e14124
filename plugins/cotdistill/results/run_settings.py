"""What should be equal over the runs of a study and is not: engine, dtype, decoding, versions."""

from __future__ import annotations

from cotdistill.results.collect import Results
from cotdistill.results.question_scores import settings_of


def settings_warnings(results: Results) -> list[str]:
    """Return what should be equal over all runs of a task and is not: engine, dtype, versions."""
    seen: dict[tuple[str, str], dict[str, list[str]]] = {}
    for run, score in results.rows():
        if score.samples is None:
            continue
        settings = settings_of(score.samples)
        for name, value in {**settings.must, **settings.should}.items():
            seen.setdefault((score.task, name), {}).setdefault(value, []).append(run.run)
    return [
        f"{task}: {name} differs between runs, so their scores may not compare: "
        + "; ".join(f"{value} ({runs[0]}{_more(runs)})" for value, runs in values.items())
        for (task, name), values in seen.items()
        if len(values) > 1 and name not in ("chat template",)
    ]


def _more(runs: list[str]) -> str:
    return f" and {len(runs) - 1} more" if len(runs) > 1 else ""
