"""What is packaged, as tables: the rows that `list` and the reference pages show."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from cotdistill.benchmarks.packaged import benchmark, benchmark_names
from cotdistill.benchmarks.store import prepared_splits
from cotdistill.catalogue.packaged import datasets, students
from cotdistill.files.bundle import bundle_files, bundle_folder
from cotdistill.files.yamls import read_yaml
from cotdistill.hosts.lm_eval.task_files import declared_names
from cotdistill.studies.load import shipped_studies
from cotdistill.tables import Table


def studies_table() -> Table:
    """List the packaged studies with the size of their grid."""
    rows = []
    for name, path in shipped_studies().items():
        value = read_yaml(path)
        arms = [arm for arm in value["arms"].values() if arm.get("train", True)]
        rows.append((name, str(len(value["students"])), str(len(arms)), value.get("about", "")))
    return Table(("study", "students", "arms", "about"), tuple(rows))


def datasets_table() -> Table:
    """List the registered datasets."""
    rows = [
        (
            name,
            entry.hf_hub_url or f"file {entry.file_name}",
            f"{entry.about.rows:,}" if entry.about.rows else "",
            entry.about.licence,
            entry.about.source,
        )
        for name, entry in datasets().items()
    ]
    return Table(("dataset", "from", "rows", "licence", "source"), tuple(rows))


def students_table() -> Table:
    """List the students of the catalogue."""
    rows = [
        (s.name, s.model, s.template, f"{s.parameters:g} B", f"{s.context:,}", s.licence)
        for s in students().values()
    ]
    return Table(("student", "model", "template", "size", "context", "licence"), tuple(rows))


def tasks_table() -> Table:
    """List the packaged lm-eval tasks and groups, each with the first comment of its file."""
    rows = []
    for path in bundle_files("task_configs", "*.yaml"):
        if not path.name.startswith("_"):
            text = path.read_text(encoding="utf-8")
            rows += [(name, _first_comment(text)) for name in declared_names(text)[:1]]
    return Table(("task", "about"), tuple(sorted(rows)))


def benchmarks_table() -> Table:
    """List the benchmarks that `prepare` knows, and which of their splits are prepared."""
    rows = []
    for name in benchmark_names():
        declared, here = benchmark(name), ", ".join(prepared_splits(name))
        sizes = ", ".join(f"{split} {known[0]:,}" for split, known in declared.rows.items())
        rows.append((name, sizes, here, declared.kind, declared.licence, declared.about))
    return Table(("benchmark", "questions", "prepared", "answer", "licence", "about"), tuple(rows))


def templates_table() -> Table:
    """List the packaged templates by stage."""
    folder = bundle_folder("templates")
    rows = []
    for stage in ("train", "export", "eval", "deepspeed", "accelerate"):
        for path in sorted((folder / stage).glob("[!_]*")):
            rows.append((f"{stage}/{_plain_name(path)}", _about_template(path)))
    return Table(("template", "about"), tuple(rows))


TABLES: dict[str, Callable[[], Table]] = {
    "studies": studies_table,
    "datasets": datasets_table,
    "benchmarks": benchmarks_table,
    "tasks": tasks_table,
    "templates": templates_table,
    "students": students_table,
}


def _first_comment(text: str) -> str:
    match = re.match(r"#\s*(.*)", text)
    return match.group(1).strip() if match else ""


def _plain_name(path: Path) -> str:
    return path.name.removesuffix(".j2")


def _about_template(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return str(json.loads(text).get("_about", "")).split("; ")[0].split(". ")[0]
    about = re.sub(r"\s*{{.*?}}", " a run", _first_comment(text).split(": ")[0])
    return about.rstrip(".")
