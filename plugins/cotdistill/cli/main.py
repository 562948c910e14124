"""The command line: a table of verbs, each imported only when it is called.

The overview must answer in a quarter of a second, so nothing but this table stands behind it. A
verb is a row of VERBS: its name, where its function is, and the line that the overview shows. The
function's own docstring is the verb's `--help`, with an example.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

from cotdistill import __version__
from cotdistill.errors import MisuseError, UserError, did_you_mean

VERBS: dict[str, tuple[str, str]] = {
    "list": ("cotdistill.cli.listing:list_", "show what is packaged: studies, datasets, tasks ..."),
    "path": ("cotdistill.cli.listing:path", "print the real folder of a packaged part"),
    "doctor": ("cotdistill.cli.doctor:doctor", "whether each stage's environment will work"),
    "check": ("cotdistill.cli.check:check", "find every fault of a study or a run folder"),
    "schema": ("cotdistill.cli.generate:schema", "print the JSON Schema of study files"),
    "prepare": ("cotdistill.cli.prepare:prepare", "fetch a benchmark, or read it from a file"),
    "import-traces": ("cotdistill.cli.corpus:import_traces", "read a seed's files as traces"),
    "grade": ("cotdistill.cli.grade:grade", "say of every row whether its answer is right"),
    "lint": ("cotdistill.cli.corpus:lint", "find the defects of training data, rule by rule"),
    "filter": ("cotdistill.cli.filter_mix:filter_", "keep right, sound, clean, unseen traces"),
    "mix": ("cotdistill.cli.filter_mix:mix", "mix trace files by weights into a training set"),
    "granularity": ("cotdistill.cli.corpus:granularity", "measure levels, and whether they rise"),
    "generate": ("cotdistill.cli.generate:generate", "write the run folder of a study"),
    "plan": ("cotdistill.cli.plan:plan", "what a study will cost, and what it can show"),
    "prompts": ("cotdistill.cli.prompts:prompts", "give a checkpoint its training prompt"),
    "run": ("cotdistill.cli.run:run", "do everything a run folder says, and go on after a kill"),
    "eval": ("cotdistill.cli.evaluate:evaluate", "as lm_eval, with our tasks only and guards"),
    "report": ("cotdistill.cli.report:report", "scores with intervals: a table, CSV, Markdown"),
    "compare": ("cotdistill.cli.compare:compare", "paired tests between runs, and what they prove"),
    "rescore": ("cotdistill.cli.rescore:rescore", "grade logged samples again, without a model"),
    "judge": ("cotdistill.cli.judge:judge", "a language model's second opinion, audited"),
}

HIDDEN = {
    "step": "cotdistill.cli.step:step",
    "snapshot": "cotdistill.hosts.llamafactory.snapshot:main",
}
"""Verbs for programs, not for people: functions that take their words and return a status."""

_INTERRUPTED = 130


def overview() -> str:
    """Return the text of `cotdistill --help`."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name:<{width}}  {line}" for name, (_, line) in VERBS.items())
    return (
        "usage: cotdistill VERB ...   (cotdistill VERB --help for one verb, with an example)\n\n"
        "Distil chain-of-thought reasoning into small language models on stock LLaMA-Factory\n"
        "and lm-evaluation-harness.\n\n"
        f"{verbs}\n\n"
        "example:\n"
        "  cotdistill generate quickstart -o runs/quickstart && cotdistill run runs/quickstart\n"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status: 0 fine, 1 faults found, 2 misuse."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        sys.stdout.write(overview())
        return 0 if given else MisuseError.exit_code
    if given[0] in ("-V", "--version"):
        sys.stdout.write(f"cotdistill {__version__}\n")
        return 0
    try:
        return _call(given[0], given[1:])
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return _INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe went away, as `| head` does
        sys.stderr.close()
        return 0


def _function(place: str) -> Callable[..., Any]:
    module, name = place.split(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def _call(verb: str, arguments: list[str]) -> int:
    if verb in HIDDEN:
        return int(_function(HIDDEN[verb])(arguments))
    if verb not in VERBS:
        raise MisuseError(f"cotdistill: no verb '{verb}'; {did_you_mean(verb, list(VERBS))}")
    import typer

    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    called = _function(VERBS[verb][0])
    app.command(name=verb, context_settings=getattr(called, "context_settings", None))(called)
    try:
        app(args=arguments, prog_name=f"cotdistill {verb}", standalone_mode=True)
    except UserError:  # missing data is a SystemExit too, for the sake of the stock lm_eval
        raise
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(bool(leaving.code))
    return 0
