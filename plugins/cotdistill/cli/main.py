"""The command line: a table of verbs, each imported only when it is called.

The overview must appear at once, so it is printed from this table and imports nothing else. A verb
is a row of VERBS: its name, the function that runs it, and its line in the overview. The function's
docstring is the verb's `--help` and ends with an example.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cotdistill import __version__
from cotdistill.cli.completion import complete, is_asked
from cotdistill.errors import MisuseError, UserError, did_you_mean

if TYPE_CHECKING:
    import typer

VERBS: dict[str, tuple[str, str]] = {
    "list": ("cotdistill.cli.listing:list_", "list packaged studies, datasets, tasks, ..."),
    "path": ("cotdistill.cli.listing:path", "print the folder of a packaged part"),
    "doctor": ("cotdistill.cli.doctor:doctor", "check each stage's environment"),
    "check": ("cotdistill.cli.check:check", "find all errors in a study or a run folder"),
    "schema": ("cotdistill.cli.generate:schema", "print the JSON Schema of study files"),
    "migrate": ("cotdistill.cli.migrate:migrate", "write an older study file in the newest form"),
    "new": ("cotdistill.cli.new:new", "draft a benchmark, task, study or prompt of your own"),
    "prepare": ("cotdistill.cli.prepare:prepare", "download a benchmark, or read it from a file"),
    "teach": ("cotdistill.cli.teach:teach", "ask a teacher for rationales at levels, in formats"),
    "sample": ("cotdistill.cli.sample:sample", "sample a model's answers, guided where needed"),
    "import-traces": (
        "cotdistill.cli.corpus:import_traces",
        "import traces from the papers' repositories",
    ),
    "grade": ("cotdistill.cli.grade:grade", "grade the answer in each row of a file"),
    "lint": ("cotdistill.cli.corpus:lint", "find defects in training data"),
    "filter": (
        "cotdistill.cli.filter_mix:filter_",
        "keep correct, deduplicated, decontaminated traces",
    ),
    "mix": ("cotdistill.cli.filter_mix:mix", "mix trace files by weight into a training set"),
    "granularity": (
        "cotdistill.cli.corpus:granularity",
        "measure the granularity of rationales by level",
    ),
    "generate": ("cotdistill.cli.generate:generate", "generate the run folder of a study"),
    "plan": ("cotdistill.cli.plan:plan", "estimate a study's cost and statistical power"),
    "prompts": ("cotdistill.cli.prompts:prompts", "write the training prompt into a checkpoint"),
    "run": ("cotdistill.cli.run:run", "execute a run folder; resume after interruptions"),
    "train": ("cotdistill.cli.train:train", "train as llamafactory-cli does, with distillation"),
    "capture": (
        "cotdistill.cli.capture:capture",
        "store a teacher's distributions for a training",
    ),
    "closeness": (
        "cotdistill.cli.closeness:closeness",
        "measure how close each arm's rationales lie to a student",
    ),
    "merge": ("cotdistill.cli.merge:merge", "merge models into one, as a teacher assistant"),
    "eval": ("cotdistill.cli.evaluate:evaluate", "run lm_eval on our tasks, guarded and resumable"),
    "report": ("cotdistill.cli.results.report:report", "report scores with confidence intervals"),
    "compare": (
        "cotdistill.cli.results.compare:compare",
        "compare runs with paired significance tests",
    ),
    "export": (
        "cotdistill.cli.results.export:export",
        "write results for other tools, cards for the hub",
    ),
    "rescore": (
        "cotdistill.cli.results.rescore:rescore",
        "grade logged samples again, without a model",
    ),
    "judge": ("cotdistill.cli.results.judge:judge", "ask a language model for a second opinion"),
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
        "usage: cotdistill VERB ...    (cotdistill VERB --help for one verb's options)\n\n"
        "Distil chain-of-thought reasoning into small language models on stock\n"
        "LLaMA-Factory and lm-evaluation-harness.\n\n"
        f"{verbs}\n\n"
        "every verb takes --bundle DIR (repeatable): also look up packaged files in DIR\n\n"
        "example:\n"
        "  cotdistill generate quickstart -o runs/quickstart\n"
        "  cotdistill run runs/quickstart\n"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status: 0 fine, 1 faults found, 2 misuse."""
    _open_what_is_closed()
    try:
        status = _run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()  # what cannot be printed is not done
        return status
    except UserError as error:
        from cotdistill.tables import printable

        sys.stderr.write(printable(str(error)) + "\n")
        return error.exit_code
    except OSError as error:
        # what no reader or writer has put into words: a name that is too long, a broken device
        if isinstance(error, BrokenPipeError):  # the reader of a pipe went away, as `| head` does
            sys.stderr.close()
            return 0
        from cotdistill.tables import printable

        place = f"{error.filename}: " if error.filename is not None else ""
        sys.stderr.write(printable(f"{place}{error.strerror or error}") + "\n")
        _drop_unprinted()
        return UserError.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return _INTERRUPTED


def _open_what_is_closed() -> None:
    """Give a standard stream that the caller closed (`>&-`) to /dev/null.

    Else it is None here, and the next file that is opened takes its number, into which programs
    that are started would print.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(descriptor, True)
            setattr(sys, name, os.fdopen(descriptor, mode))


def _run(arguments: list[str]) -> int:
    roots, given = _bundle_options(arguments)
    if is_asked(given, os.environ):
        return complete(given)
    if not given or given[0] in ("-h", "--help", "help"):
        sys.stdout.write(overview())
        return 0 if given else MisuseError.exit_code
    if given[0] in ("-V", "--version"):
        sys.stdout.write(f"cotdistill {__version__}\n")
        return 0
    if not roots:
        return _call(given[0], given[1:])
    from cotdistill.files.bundle import more_bundles

    with more_bundles(roots):
        return _call(given[0], given[1:])


def _drop_unprinted() -> None:
    """Print what is left, or forget it, as Python would print a second error about it at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _bundle_options(given: list[str]) -> tuple[list[str], list[str]]:
    """Return the folders of all `--bundle DIR`, and the other arguments.

    >>> _bundle_options(["list", "--bundle", "mine", "tasks", "--", "--bundle=x"])
    (['mine'], ['list', 'tasks', '--', '--bundle=x'])
    """
    roots: list[str] = []
    others: list[str] = []
    words = iter(given)
    for word in words:
        if word == "--":
            others += [word, *words]
        elif word == "--bundle":
            roots.append(next(words, ""))
        elif word.startswith("--bundle="):
            roots.append(word.partition("=")[2])
        else:
            others.append(word)
    return roots, others


def _function(place: str) -> Callable[..., Any]:
    module, name = place.split(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def _help_of(called: Callable[..., Any]) -> str:
    """Return a verb's docstring, marked so that its examples are not wrapped and can be pasted."""
    import inspect

    return inspect.cleandoc(called.__doc__ or "").replace("\n\nExample:", "\n\n\b\nExample:")


def command_of(verb: str, app: typer.Typer) -> None:
    """Add a verb to a typer application."""
    from cotdistill.cli.options import one_option_per_field

    called = _function(VERBS[verb][0])
    settings = getattr(called, "context_settings", None)
    command = one_option_per_field(called)
    app.command(name=verb, context_settings=settings, help=_help_of(called))(command)


def _call(verb: str, arguments: list[str]) -> int:
    if verb in HIDDEN:
        return int(_function(HIDDEN[verb])(arguments))
    if verb not in VERBS:
        raise MisuseError(f"cotdistill: no verb '{verb}'; {did_you_mean(verb, list(VERBS))}")
    import typer

    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    command_of(verb, app)
    try:
        app(args=arguments, prog_name=f"cotdistill {verb}", standalone_mode=True)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(bool(leaving.code))
    return 0
