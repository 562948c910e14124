"""Completion of verbs and options in the shell, by typer's own means.

`cotdistill --install-completion` writes typer's script for the shell that is running, or that is
named after it. That script asks on every press of Tab, so only the verb in question is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

OPTIONS = ("--install-completion", "--show-completion")
_ASKED = "_COTDISTILL_COMPLETE"
_BY_NAME = "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"
"""With it typer's options take the name of a shell; without it they ignore one and guess."""


def is_asked(given: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether the shell asks for completions, or the user for the shell's script."""
    return _ASKED in environment or (bool(given) and given[0] in OPTIONS)


def complete(given: Sequence[str]) -> int:
    """Answer the shell, or install or show its script; return the exit status."""
    import typer

    from cotdistill.cli.main import VERBS, command_of

    if len(given) > 1 and given[0] in OPTIONS:
        os.environ[_BY_NAME] = "1"
    line = os.environ.get("_TYPER_COMPLETE_ARGS") or os.environ.get("COMP_WORDS", "")
    words = line.split()
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, name="cotdistill")
    for verb, (_, about) in VERBS.items():
        if len(words) > 1 and words[1] == verb:
            command_of(verb, app)
        else:
            app.command(name=verb, help=about)(_not_loaded)
    try:
        app(args=list(given), prog_name="cotdistill", standalone_mode=True)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(bool(leaving.code))
    return 0


def _not_loaded() -> None:
    """Stand for a verb whose options are not asked for."""
