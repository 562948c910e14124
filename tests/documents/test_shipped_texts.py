"""What users read and run names the public surface of the package only, which does not move."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cotdistill
from cotdistill.runfolder.generate import generate

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ("dataset_info", "task_configs", "templates", "studies", "docs", "README.md", "Makefile")
PUBLIC = {"snakefile", "task_hooks", "bundles", *cotdistill.__all__}
"""`bundles` is the group of entry points by which packages bring files of their own."""

FORMER = {"docs/decisions/0011-packages-by-domain.md": {"work"}}
DOTTED = re.compile(r"\bcotdistill\.([a-z_]+)(?:\.[a-z_]+)*")


def shipped() -> list[str]:
    paths = [
        path
        for name in SHIPPED
        for path in [ROOT / name, *sorted((ROOT / name).rglob("*"))]
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".svg"
    ]
    return [str(path.relative_to(ROOT)) for path in paths]


def inner_names(text: str, allowed: set[str]) -> list[str]:
    return [found[0] for found in DOTTED.finditer(text) if found[1] not in allowed]


@pytest.mark.parametrize("name", shipped())
def test_no_shipped_text_names_an_inner_module(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert inner_names(text, PUBLIC | FORMER.get(name, set())) == []


def test_no_generated_file_names_an_inner_module(tmp_path: Path) -> None:
    folder = generate("quickstart", tmp_path / "run").folder
    texts = [path for path in folder.rglob("*") if path.suffix in (".yaml", ".json", "")]
    read = [path for path in texts if path.is_file()]
    assert {path.name for path in read} >= {"Snakefile", "study.yaml", "dataset_info.json"}
    for path in read:
        assert inner_names(path.read_text(encoding="utf-8"), PUBLIC) == [], path


def test_no_message_names_an_inner_module() -> None:
    """Docstrings and the tables of verbs and of public names are for readers of the code."""
    for path in sorted((ROOT / "plugins" / "cotdistill").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        texts = {
            ast.get_docstring(n, clean=False) for n in ast.walk(tree) if isinstance(n, documented)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if node.value in texts or re.fullmatch(r"cotdistill(\.\w+)+(:\w+)?", node.value):
                    continue
                assert inner_names(node.value, PUBLIC) == [], f"{path}:{node.lineno}"


def test_verbs_that_replace_modules_say_how_they_are_used() -> None:
    for words in (["prompts", "--help"], ["snapshot"]):
        done = subprocess.run(
            [sys.executable, "-m", "cotdistill", *words],
            capture_output=True,
            text=True,
            check=False,
        )
        assert f"cotdistill {words[0]}" in done.stdout + done.stderr
