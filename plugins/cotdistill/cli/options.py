"""Options as declared values, and the options that several verbs share."""

from __future__ import annotations

import dataclasses
import inspect
import os
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

Files = Annotated[list[Path], typer.Argument(help="files of traces, or of any supported format")]
Against = Annotated[
    list[str] | None,
    typer.Option(help="test file, benchmark, or 'packaged' for all prepared ones; repeatable"),
]
Golds = Annotated[list[Path] | None, typer.Option(help="file with questions and reference answers")]
Workers = Annotated[int, typer.Option(min=0, help="number of processes; 0: one per core")]
SkipBad = Annotated[bool, typer.Option(help="skip and count malformed lines")]
Parquet = Annotated[bool, typer.Option(help="also write the rows as Parquet")]
Tokenizer = Annotated[str | None, typer.Option(help="tokenizer.json, model folder or hub id")]
SET_HELP = (
    "override a study value, as in hardware.gpus=4; a new name with dots stands in quotes, as in "
    "'models.\"Qwen2.5-7B\".model=PATH'; repeatable"
)


def one_option_per_field(verb: Callable[..., None]) -> Callable[..., None]:
    """Return a verb that takes one dataclass of options as a function that typer can read.

    It has a parameter for each field, with the field's type, help and default. A verb that declares
    its parameters one by one is returned as it is.
    """
    parameters = get_type_hints(verb)
    declared: Any = parameters[next(iter(inspect.signature(verb).parameters), "return")]
    fields = getattr(declared, "__dataclass_fields__", {})
    if not fields:
        return verb
    types = get_type_hints(declared, include_extras=True)

    def spread(**values: Any) -> None:
        verb(declared(**values))

    def parameter(field: dataclasses.Field[Any]) -> inspect.Parameter:
        required = field.default is dataclasses.MISSING
        default = inspect.Parameter.empty if required else field.default
        kind = inspect.Parameter.KEYWORD_ONLY
        return inspect.Parameter(field.name, kind, default=default, annotation=types[field.name])

    spread.__annotations__ = types
    spread.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [parameter(field) for field in fields.values()]
    )
    return spread


def workers_or_all(workers: int) -> int:
    """Return the number of processes to use; 0 means one per core.

    >>> workers_or_all(3)
    3
    """
    if workers:
        return workers
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def progress_line() -> Any:
    """Return a function that shows progress on one line, on a terminal only."""
    if not sys.stderr.isatty():
        return lambda _: None
    return lambda line: sys.stderr.write(f"\r\033[K{line}")


class Verdicts(StrEnum):
    """Which verdicts the scores are computed from."""

    RUN = "run"
    RESCORED = "rescored"
    JUDGED = "judged"
