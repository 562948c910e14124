"""What is packaged, as tables: the rows that `list` and the reference pages show."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from cotdistill.benchmarks.packaged import benchmark, benchmark_files
from cotdistill.benchmarks.store import prepared_splits
from cotdistill.catalogue.packaged import dataset_files, datasets, student_files, students
from cotdistill.errors import StudyError
from cotdistill.files.bundle import bundle_files, bundles, origin_of, parts_of
from cotdistill.files.yamls import read_yaml
from cotdistill.hosts.lm_eval.task_files import declared_names
from cotdistill.studies.expand import expand
from cotdistill.studies.load import shipped_studies
from cotdistill.tables import Table

Row = tuple[tuple[str, ...], Path]
"""The cells of a row, and the file that declares what it shows."""


def studies_table() -> Table:
    """List the studies of all bundles with the size of their grids."""
    rows: list[Row] = []
    for name, path in shipped_studies().items():
        try:
            study = expand(read_yaml(path), name)
            arms = [arm for arm in study["arms"].values() if arm.get("train", True)]
            cells = (str(len(study["students"])), str(len(arms)), str(study.get("about", "")))
        except (KeyError, TypeError, AttributeError, StudyError):
            cells = ("", "", f"not a study: see `cotdistill check {name}`")
        rows.append(((name, *cells), path))
    return _table(("study", "students", "arms", "about"), rows)


_GOLD_SHOWN = {None: "", True: "; teacher saw the gold", False: "; teacher did not see the gold"}


def datasets_table() -> Table:
    """List the registered datasets."""
    files = dataset_files()
    rows = [
        (
            (
                name,
                entry.hf_hub_url or f"file {entry.file_name}",
                f"{entry.about.rows:,}" if entry.about.rows else "",
                entry.about.licence,
                entry.about.source + _GOLD_SHOWN[entry.about.gold_shown],
            ),
            files[name],
        )
        for name, entry in datasets().items()
    ]
    return _table(("dataset", "from", "rows", "licence", "source"), rows)


def students_table() -> Table:
    """List the students of the catalogue."""
    files = student_files()
    rows = [
        (
            (s.name, s.model, s.template, f"{s.parameters:g} B", f"{s.context:,}", s.licence),
            files[n],
        )
        for n, s in students().items()
    ]
    return _table(("student", "model", "template", "size", "context", "licence"), rows)


def tasks_table() -> Table:
    """List the lm-eval tasks and groups, each with the first comment of its file."""
    rows: list[Row] = []
    for path in bundle_files("task_configs", "**/*.yaml"):
        if not path.name.startswith("_"):
            text = path.read_text(encoding="utf-8", errors="replace")
            rows += [((name, _first_comment(text)), path) for name in declared_names(text)[:1]]
    return _table(("task", "about"), sorted(rows))


def benchmarks_table() -> Table:
    """List the benchmarks that `prepare` knows, and which of their splits are prepared."""
    rows: list[Row] = []
    for name, path in sorted(benchmark_files().items()):
        declared, here = benchmark(name), ", ".join(prepared_splits(name))
        sizes = ", ".join(f"{split} {n[0]:,}" for split, n in declared.rows.items() if n)
        cells = (name, sizes, here, declared.kind, declared.licence, declared.about)
        rows.append((cells, path))
    return _table(("benchmark", "questions", "prepared", "answer", "licence", "about"), rows)


def templates_table() -> Table:
    """List the templates by stage."""
    rows: list[Row] = [
        ((f"{stage}/{_plain_name(path)}", _about_template(path)), path)
        for stage in ("train", "export", "eval", "deepspeed", "accelerate", "prompts")
        for path in bundle_files("templates", f"{stage}/[!_]*")
    ]
    return _table(("template", "about"), rows)


def bundles_table() -> Table:
    """List the bundles in the order in which files are looked up, our own last."""
    rows = [(b.origin or "cotdistill", str(b.root), ", ".join(parts_of(b.root))) for b in bundles()]
    return Table(("bundle", "folder", "holds"), tuple(rows))


TABLES: dict[str, Callable[[], Table]] = {
    "studies": studies_table,
    "datasets": datasets_table,
    "benchmarks": benchmarks_table,
    "tasks": tasks_table,
    "templates": templates_table,
    "students": students_table,
    "bundles": bundles_table,
}


def _table(columns: tuple[str, ...], rows: Sequence[Row]) -> Table:
    """Return a table; it says whose each row is where one is not ours."""
    origins = [origin_of(path) for _, path in rows]
    if not any(origins):
        return Table(columns, tuple(cells for cells, _ in rows))
    cells = [(*row, origin) for (row, _), origin in zip(rows, origins, strict=True)]
    return Table((*columns, "bundle"), tuple(cells))


def _first_comment(text: str) -> str:
    match = re.match(r"#\s*(.*)|{#-?\s*(.*?)[.\s]*-?#}", text)
    return (match.group(1) or match.group(2)).strip() if match else ""


def _plain_name(path: Path) -> str:
    return path.name.removesuffix(".j2")


def _about_template(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return str(json.loads(text).get("_about", "")).split("; ")[0].split(". ")[0]
    about = re.sub(r"\s*{{.*?}}", " a run", _first_comment(text).split(": ")[0])
    return about.rstrip(".")
