"""Options are declared values: a verb with many takes one dataclass of them."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

import cotdistill
from cotdistill.cli.main import VERBS, main
from cotdistill.cli.options import one_option_per_field

MOST = 8


@dataclass(frozen=True, kw_only=True)
class Sums:
    """Two numbers."""

    first: Annotated[int, typer.Argument(help="the first number")]
    second: Annotated[int, typer.Option("-s", "--second", help="the second number")] = 2


def add(sums: Sums) -> None:
    """Add two numbers."""
    typer.echo(sums.first + sums.second)


def named(first: int, second: int) -> None:
    """Take parameters one by one."""


def test_every_field_is_an_option_with_its_help_and_default() -> None:
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(one_option_per_field(add))
    assert CliRunner().invoke(app, ["3"]).stdout == "5\n"
    assert CliRunner().invoke(app, ["3", "-s", "4"]).stdout == "7\n"
    output = CliRunner().invoke(app, ["--help"]).stdout
    assert "the second number  [default: 2]" in output


def test_a_verb_without_declared_options_stays_as_it_is() -> None:
    assert one_option_per_field(named) is named


def test_no_function_takes_more_than_eight_parameters() -> None:
    package = Path(cotdistill.__file__).parent
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names = [one.arg for one in (*node.args.posonlyargs, *node.args.args)]
                names += [one.arg for one in node.args.kwonlyargs]
                taken = [name for name in names if name not in ("self", "cls")]
                assert len(taken) <= MOST, f"{path}: {node.name}"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_an_example(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb, "--help"]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert f"Usage: cotdistill {verb}" in output
    assert "Example: " in output
