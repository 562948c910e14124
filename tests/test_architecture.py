"""Packages import only packages to their right, and of those only the modules they declare public.

The order is docs/decisions/0011-packages-by-domain.md's. Names between commas do not know each
other. Everything is read from the source with `ast`; nothing is imported but the declarations.
"""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import cotdistill

PACKAGE = Path(cotdistill.__file__).parent
ORDER = """
    cli > runs, preflight > improve, racing > results > runfolder > arms > studies
    > teach, closeness > corpus > benchmarks, distill, models > hosts, catalogue > files
    > stats, grading
    > schema > tables, errors
"""
INSIDE = {
    "corpus": "mixing > filtering > rules > records > text",
    "grading": "grade, batch > extract > equivalence, repetition > kinds",
    "results": "report, judge > collect, compare, matrix, rescore",
}
ENTRY_POINTS = ("__main__", "api", "snakefile", "task_hooks", "work")
"""What hosts and users load by name; each only passes on what the packages hold."""

PURE = ("grading", "stats", "corpus.text", "corpus.rules")
PURE_IMPORTS = {"numpy", "sympy", "mpmath", "cotdistill"} | set(sys.stdlib_module_names)
HEAVY = {
    "torch", "transformers", "llamafactory", "lm_eval", "datasets", "snakemake", "vllm",
    "deepspeed", "peft", "accelerate", "tokenizers",
}  # fmt: skip
MOST_MODULES = 30
LONG = 300

MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def ranks(order: str) -> dict[str, int]:
    """Return the place of each name in an order; a name may import names of a greater place."""
    return {
        name.strip(): place
        for place, group in enumerate(order.split(">"))
        for name in group.split(",")
    }


def is_module(name: str) -> bool:
    return name in MODULES or f"{name}.__init__" in MODULES


def imported_names(path: Path, *, top_level_only: bool = False) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_modules(path: Path, *, top_level_only: bool = False) -> Iterator[str]:
    """Yield our own modules that a file imports, without the leading `cotdistill.`."""
    for name in imported_names(path, top_level_only=top_level_only):
        first, *parts = name.split(".")
        if first != "cotdistill":
            continue
        while parts and not is_module(".".join(parts)):
            parts.pop()
        if parts:
            yield ".".join(parts)


def test_the_order_names_every_package_once() -> None:
    there = {name.split(".")[0] for name in MODULES} - {"__init__"}
    assert there == set(ranks(ORDER)) | set(ENTRY_POINTS)


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_right_and_meet_public_modules_only(name: str) -> None:
    rank = ranks(ORDER)
    here = name.split(".")[0]
    for module in imported_modules(MODULES[name]):
        package, _, rest = module.partition(".")
        if package == here or here in ENTRY_POINTS or here == "__init__":
            continue
        assert rank[here] < rank[package], f"{name} imports {module}, which is not to its right"
        if rest:
            public = importlib.import_module(f"cotdistill.{package}").PUBLIC_MODULES
            assert rest in public, f"{name} imports {module}, which {package} does not make public"


@pytest.mark.parametrize("package", INSIDE)
def test_the_order_inside_a_package_holds(package: str) -> None:
    rank = ranks(INSIDE[package])
    for name, path in MODULES.items():
        outer, _, here = name.partition(".")
        here = here.split(".")[0]
        if outer != package or here not in rank:
            continue
        for module in imported_modules(path):
            there, _, inner = module.partition(".")
            inner = inner.split(".")[0]
            if there == package and inner in rank and inner != here:
                assert rank[here] <= rank[inner], f"{name} imports {module}"


def test_public_modules_are_there() -> None:
    for package in {name.split(".")[0] for name in MODULES if name.endswith(".__init__")} - {
        "work"
    }:
        public = importlib.import_module(f"cotdistill.{package}").PUBLIC_MODULES
        assert list(public) == sorted(public)
        for module in public:
            assert is_module(f"{package}.{module}"), f"{package} declares {module}, which is not"


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith(PURE)])
def test_pure_packages_import_nothing_that_reaches_outside(name: str) -> None:
    for imported in imported_names(MODULES[name]):
        assert imported.split(".")[0] in PURE_IMPORTS, f"{name} imports {imported}"


@pytest.mark.parametrize("name", MODULES)
def test_heavy_libraries_are_imported_inside_functions_only(name: str) -> None:
    if name.startswith("distill.trainer."):
        return
    for imported in imported_names(MODULES[name], top_level_only=True):
        assert imported.split(".")[0] not in HEAVY, f"{name} imports {imported} at its top"


def test_no_modules_import_each_other_in_a_circle() -> None:
    imports = {
        name: {
            module
            for module in imported_modules(path, top_level_only=True)
            if module in MODULES and module != name
        }
        for name, path in MODULES.items()
    }
    while free := {name for name, needs in imports.items() if not needs & set(imports)}:
        for name in free:
            del imports[name]
    assert not imports, f"a circle of imports among {sorted(imports)}"


@pytest.mark.parametrize("name", MODULES)
def test_every_module_opens_by_saying_what_it_is_for(name: str) -> None:
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"{name}: no docstring"


def test_no_folder_holds_more_modules_than_a_reader_can_take_in() -> None:
    folders = [path.parent for path in MODULES.values()]
    for folder in set(folders):
        assert folders.count(folder) <= MOST_MODULES, f"{folder} has {folders.count(folder)}"


def test_scripts_started_by_path_run_with_the_safe_path_option() -> None:
    """Without -P their own folder comes first, and our modules hide those of other packages."""
    started = 0
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            words = ast.unparse(node) if isinstance(node, ast.List) else ""
            if "__file__" in words or "_SCRIPT" in words:
                started += 1
                assert "'-P'" in words, f"{name} starts {words}"
    assert started >= 2


@pytest.mark.filterwarnings("default::UserWarning")
def test_long_modules_are_pointed_out() -> None:
    """A warning to look, never a reason to cut one idea in two."""
    import warnings

    for name, path in MODULES.items():
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > LONG:
            warnings.warn(f"{name} has {lines} lines: is it one idea?", UserWarning, stacklevel=1)


def test_the_command_line_loads_no_host() -> None:
    code = (
        "import sys; from cotdistill.cli.main import main; main(['--help']); "
        f"print(sorted(set(sys.modules) & {HEAVY | {'numpy', 'pydantic', 'sympy', 'typer'}}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_step_of_a_workflow_loads_only_what_starts_a_job() -> None:
    """Each of hundreds of jobs pays for it."""
    code = (
        "import sys; import cotdistill.cli.step, cotdistill.runs.step, cotdistill.snakefile; "
        f"print(sorted(set(sys.modules) & {HEAVY | {'numpy', 'pydantic', 'jinja2', 'typer'}}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
