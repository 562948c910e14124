"""One self-contained HTML page: no network, nothing but text, pictures and a sample browser."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotdistill.errors import DataError, Fault
from cotdistill.files.bundle import bundle_folder
from cotdistill.files.json_file import read_object
from cotdistill.files.ledger import read_ledger
from cotdistill.files.templates import render
from cotdistill.results.arm_comparisons import Difference, points
from cotdistill.results.groups import UNTRAINED
from cotdistill.results.matrix import Cell, Matrix
from cotdistill.results.report.arm_table import p_text
from cotdistill.results.report.charts import Figure
from cotdistill.results.report.factor_tables import TitledTable
from cotdistill.results.report.sample_browser import Browsed
from cotdistill.results.report.tables import table_csv
from cotdistill.results.run_results import Results
from cotdistill.results.run_settings import settings_warnings
from cotdistill.studies.load import study_if_any
from cotdistill.tables import Table, counted

_EQUAL = {"arm": "student and recipe", "recipe": "student and arm", "student": "arm and recipe"}
"""What is the same on both sides of a comparison, by what is compared."""


@dataclass(frozen=True)
class Made:
    """What a page shows: the finding, tables and figures, and the responses for its browser."""

    title: str
    verdict: str
    missing: str
    methods: str
    table: Table
    comparisons: Table
    by_factor: list[TitledTable]
    runs: Table
    figures: list[Figure]
    browsed: Browsed
    probed: list[str] = field(default_factory=list)
    probes: list[TitledTable] = field(default_factory=list)
    closeness: list[TitledTable] = field(default_factory=list)
    on_the_way: list[TitledTable] = field(default_factory=list)
    notes: Sequence[str] = ()


def page(results: Results, scores: Matrix, made: Made) -> str:
    """Return the page of one or several run folders."""
    study = study_if_any(results.folder) if len(results.folders) == 1 else None
    browsed = made.browsed
    samples = {
        "runs": browsed.runs,
        "arms": browsed.arms,
        "students": browsed.students,
        "settings": browsed.settings,
        "questions": browsed.questions,
        "answers": browsed.answers,
        "prompts": browsed.prompts,
        "rows": browsed.rows,
        "matches": browsed.matches,
        "asked": sum(browsed.asked.values()),
    }
    warnings = [*made.notes, *scores.notes, *settings_warnings(results.settings)]
    folder = bundle_folder("templates") / "report"
    values = {
        "title": made.title,
        "about": study.about if study else "",
        "css": (folder / "page.css").read_text(encoding="utf-8") + _formula_css(folder),
        "temml_licence": (folder / "temml" / "LICENSE").read_text(encoding="utf-8"),
        "temml": (folder / "temml" / "temml.min.js").read_text(encoding="utf-8"),
        "javascript": (folder / "page.js").read_text(encoding="utf-8"),
        "verdict": made.verdict,
        "missing": made.missing,
        "methods": made.methods,
        "baseline": scores.baseline,
        "compared": scores.compared,
        "equal": _EQUAL[scores.compared],
        "source": scores.source,
        "seeds": max((cell.seeds for cell in scores.cells.values()), default=1),
        "recipes": scores.several_recipes,
        "tasks": scores.tasks,
        "means": any(scores.mean(group) is not None for group in scores.groups),
        "rows": _rows(scores),
        "warnings": warnings,
        "notes": [note for note in made.runs.notes if note not in warnings],
        "figures": [(figure, table_csv(figure.data)) for figure in made.figures],
        "by_factor": made.by_factor,
        "probed": made.probed,
        "probes": made.probes,
        "closeness": made.closeness,
        "on_the_way": made.on_the_way,
        "table": made.runs,
        "comparisons": made.comparisons,
        "claims": {one.compared.claim for one in scores.differences},
        "answers": bool(browsed.answers),
        "shown": _shown(browsed),
        "samples": script_json(samples),
        "ledgers": [one for folder in results.folders for one in _ledgers(folder)],
        "lints": [one for folder in results.folders for one in _lints(folder)],
        "environment": _environment(results),
    }
    return render("report/page.html.j2", values)


def _formula_css(folder: Path) -> str:
    """Return Temml's style sheet without the font that it would load from another file."""
    text = (folder / "temml" / "Temml-Local.css").read_text(encoding="utf-8")
    return re.sub(r"@font-face\s*\{[^}]*\}", "", text)


def _shown(browsed: Browsed) -> str:
    """Say how many questions the browser holds, and why not all."""
    not_all = [
        f"{task} {shown:,} of {browsed.asked[task]:,}"
        for task, shown in browsed.shown.items()
        if shown < browsed.asked[task]
    ]
    if not not_all:
        return "Every question that was asked is here."
    return (
        f"Questions here: {', '.join(not_all)}. So many keep the page at a few megabytes; those on "
        "which runs differ come first, and the samples files hold the rest."
    )


def script_json(value: Any) -> str:
    r"""Return JSON that can stand inside a script element, whatever text is in it.

    >>> script_json("</script>")
    '"\\u003c/script>"'
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    escaped = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return escaped.encode("utf-8", "replace").decode("utf-8")


def _rows(scores: Matrix) -> list[dict[str, Any]]:
    rows = []
    student = None
    for group in scores.groups:
        mean = scores.mean(group)
        found = scores.mean_differences.get(group)
        rows.append(
            {
                "student": group[0],
                "arm": group[1],
                "recipe": "" if group[2] == UNTRAINED else group[2],
                "first": group[0] != student,
                "cells": [_cell(scores.cells.get((group, task))) for task in scores.tasks],
                "mean": "–" if mean is None else f"{100 * mean:.1f}",
                "mean_mark": found.mark if found else "",
                "mean_change": _change(found),
            }
        )
        student = group[0]
    return rows


def _cell(cell: Cell | None) -> dict[str, Any] | None:
    if cell is None:
        return None
    low, high = 100 * cell.score.low, 100 * cell.score.high
    bounds = "interval not known" if low != low else f"{low:.1f} – {high:.1f}"
    if cell.spread is not None:
        bounds += f" · ± {100 * cell.spread:.1f}, {counted(cell.seeds, 'seed')}"
    more = [
        f"{name} {100 * value:.1f}"
        for name, value in cell.readings.items()
        if f"{100 * value:.1f}" != f"{100 * cell.score.value:.1f}"
    ]
    if cell.timeouts:
        more.append(counted(cell.timeouts, "timeout"))
    return {
        "score": f"{100 * cell.score.value:.1f}",
        "bounds": bounds,
        "mark": cell.mark,
        "change": _change(cell.difference),
        "more": more,
    }


def _change(one: Difference | None) -> str:
    """Return a difference from the baseline with its interval and adjusted p, in a few words."""
    if one is None:
        return ""
    low, high = one.difference.low, one.difference.high
    p = p_text(one.p_holm)
    shown = (f", p < {p[1:]}" if p.startswith("<") else f", p = {p}") if p else ""
    return f"{points(one.difference.value)} [{points(low)}, {points(high)}]{shown}"


def _ledgers(folder: Path) -> list[dict[str, str]]:
    found = []
    for path in sorted((folder / "data").glob("*.ledger.json")):
        arm = path.name.removesuffix(".ledger.json")
        ledger = read_ledger(path.with_name(f"{arm}.jsonl"))
        counts = [f"{reason} {count:,}" for reason, count in ledger.counts.items()]
        made = ledger.outputs[0] if ledger.outputs else None
        found.append(
            {
                "arm": arm,
                "made_by": str(ledger.made_by),
                "counts": ", ".join(counts) or f"{made.rows if made else 'not known'} rows",
                "sha256": made.sha256[:12] if made else "",
            }
        )
    return found


def _lints(folder: Path) -> list[dict[str, str]]:
    """What `cotdistill lint data/ARM.jsonl --json > data/ARM.lint.json` left next to the arms."""
    found = []
    for path in sorted((folder / "data").glob("*.lint.json")):
        report = read_object(path, "what `cotdistill lint --json` prints", "remove it")
        try:
            rules = [rule for rule in report.get("rules", []) if rule.get("rows")]
            named = ", ".join(f"{rule['rule']} {rule['rows']:,}" for rule in rules)
            found.append(
                {
                    "arm": path.name.removesuffix(".lint.json"),
                    "rows": f"{report.get('rows', 0):,}",
                    "faulty": f"{report.get('faulty_rows', 0):,}",
                    "rules": named or "none",
                }
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            wrong = f"not a report of lint ({error})"
            raise DataError(Fault(str(path), wrong, "", "make it again, or remove it")) from error
    return found


def _environment(results: Results) -> list[tuple[str, str]]:
    found: dict[str, dict[str, None]] = {}
    for run in results.runs:
        for name, value in run.evaluated.environment.items():
            found.setdefault(name, {})[value] = None
    return [(name, ", ".join(values)) for name, values in found.items()]
