"""Tasks whose responses are programs: each runs in the sandbox, and what it prints is graded.

    custom_dataset: !function hooks.load_program_questions
    process_results: !function hooks.grade_programs
    metric_list: !function hooks.PROGRAM_METRICS
    unsafe_code: true        # lm-eval asks for --confirm_run_unsafe_code

COTDISTILL_SANDBOX names the tier: auto (the default), bubblewrap, landlock, or plain.
"""

from __future__ import annotations

import atexit
import functools
import os
from collections.abc import Sequence
from typing import Any, get_args

from cotdistill.benchmarks.hooks import (
    METRICS,
    Document,
    Metrics,
    load_questions,
    metrics_of,
    responses_of,
)
from cotdistill.benchmarks.question import options_of
from cotdistill.hosts.sandbox.execution import Verdict
from cotdistill.hosts.sandbox.program import grade_program, program_of
from cotdistill.hosts.sandbox.sandbox import Sandbox

TIER = "COTDISTILL_SANDBOX"
_MOST_WORKERS = 8  # each has the libraries loaded: 100 MiB
_VERDICTS: tuple[str, ...] = get_args(Verdict)


def load_program_questions(
    benchmark: str,
    splits: Sequence[str] = ("test",),
    subject: str | None = None,
    **of_the_host: Any,
) -> dict[str, Any]:
    """Return the documents of a task, after making sure that a sandbox works on this machine.

    Raises:
        SandboxError: none does; better now than after an hour of generating.
        NotPreparedError, DataError: as `load_questions`.
    """
    _sandbox(os.getpid())
    return load_questions(benchmark, splits, subject, **of_the_host)


def grade_programs(document: Document, results: Sequence[Any]) -> Metrics:
    """Return every metric of one document whose responses are programs.

    A response for which the sandbox failed is left out of all scores: nothing is known about it.
    `program_ok` and its siblings are the shares of what became of the programs.
    """
    responses = responses_of(results)
    executions = list(_sandbox(os.getpid()).run_many(map(program_of, responses)))
    meta = document.get("meta") or {}
    graded = [
        (response, grade)
        for response, execution in zip(responses, executions, strict=True)
        if (
            grade := grade_program(
                execution,
                document["gold"],
                kind=document["kind"],
                options=options_of(document.get("options")),
                tolerance=meta.get("tolerance"),
            )
        )
    ]
    metrics: Metrics = {
        _metric(verdict): sum(one.verdict == verdict for one in executions) / len(executions)
        for verdict in _VERDICTS
    }
    if graded:
        texts, grades = zip(*graded, strict=True)
        metrics |= metrics_of(document, texts, grades)
    return metrics


@functools.lru_cache(maxsize=1)
def _sandbox(pid: int) -> Sandbox:  # noqa: ARG001 -- the threads of a sandbox do not survive a fork
    """One sandbox for all tasks of a process; the kernel ends it with the process."""
    tier: Any = os.environ.get(TIER, "auto")
    sandbox = Sandbox(tier, workers=min(_MOST_WORKERS, os.cpu_count() or 1))
    atexit.register(sandbox.close)
    return sandbox


def _metric(verdict: str) -> str:
    return verdict if verdict == "sandbox_failed" else f"program_{verdict}"


PROGRAM_METRICS = (
    *METRICS,
    *(
        {"metric": _metric(verdict), "aggregation": "mean", "higher_is_better": verdict == "ok"}
        for verdict in _VERDICTS
    ),
)
