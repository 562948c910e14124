"""Imports only ever point to the right: cli > work > hosts > files > declare > reason > errors."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import cotdistill

PACKAGE = Path(cotdistill.__file__).parent
LAYERS = ["cli", "work", "hosts", "files", "declare", "reason", "errors"]
HEAVY = {
    "torch", "transformers", "llamafactory", "lm_eval", "datasets", "snakemake", "vllm",
    "deepspeed", "peft", "accelerate", "tokenizers",
}  # fmt: skip
MODULES = sorted(PACKAGE.rglob("*.py"))


def layer_of(name: str) -> int:
    return LAYERS.index(name.split(".")[1])


def imports_of(path: Path, *, top_level_only: bool) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else ast.walk(tree)
    names: list[str] = []
    for node in nodes:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def test_every_layer_is_there() -> None:
    for layer in LAYERS[:-1]:
        assert (PACKAGE / layer / "__init__.py").is_file()
    assert len(MODULES) > len(LAYERS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_right(path: Path) -> None:
    here = path.relative_to(PACKAGE).with_suffix("").parts[0]
    if here not in LAYERS:
        return
    for name in imports_of(path, top_level_only=False):
        parts = name.split(".")
        if parts[0] == "cotdistill" and len(parts) > 1 and parts[1] in LAYERS:
            assert layer_of(name) >= LAYERS.index(here), f"{path} imports {name}, to its left"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_hosts_are_imported_inside_functions_only(path: Path) -> None:
    for name in imports_of(path, top_level_only=True):
        assert name.split(".")[0] not in HEAVY, f"{path} imports {name} at its top"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_opens_by_saying_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{path}: no docstring"


def test_the_command_line_loads_no_host() -> None:
    code = (
        "import sys; from cotdistill.cli.main import main; main(['--help']); "
        f"print(sorted(set(sys.modules) & {HEAVY | {'numpy', 'pydantic', 'sympy', 'typer'}}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
