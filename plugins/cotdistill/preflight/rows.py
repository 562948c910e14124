"""Before training: each student's view of each arm, from the host's own data code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotdistill.errors import Fault, FaultsError
from cotdistill.files.yamls import read_yaml
from cotdistill.hosts.environments.ask_python import ask_python
from cotdistill.hosts.llamafactory import rows as training_rows
from cotdistill.runfolder.commands import prefixed
from cotdistill.runfolder.manifest import ManifestRun
from cotdistill.studies.study import Study

_SCRIPT = Path(training_rows.__file__)


@dataclass(frozen=True)
class RowReport:
    """One student's view of one arm under one recipe: counts of rows and tokens."""

    run: str
    rows: int
    rows_in_file: int | None
    prompts_cut: int
    answers_cut: int
    no_loss: int
    tokens: int
    trained_tokens: int
    longest: int
    cutoff_len: int
    shown: tuple[tuple[tuple[bool, str], ...], ...]

    def faults(self) -> list[Fault]:
        """Return what would silently degrade training."""
        remedy = f"the longest row has {self.longest:,} tokens; raise cutoff_len or filter rows"
        counted = (
            (self.answers_cut, "lose the end of the response, including the end-of-text token"),
            (self.prompts_cut, "lose part of the prompt"),
        )
        faults = [
            Fault(
                self.run,
                f"{count:,} of {self.rows:,} rows {what} at cutoff_len {self.cutoff_len:,}",
                "",
                remedy,
            )
            for count, what in counted
            if count
        ]
        if self.no_loss:
            faults.append(
                Fault(self.run, f"{self.no_loss:,} rows have no token outside the loss mask")
            )
        if self.rows_in_file is not None and self.rows_in_file != self.rows:
            dropped = self.rows_in_file - self.rows
            faults.append(Fault(self.run, f"LLaMA-Factory silently drops {dropped:,} rows"))
        return faults


def row_reports(
    study: Study, root: Path, runs: Sequence[ManifestRun], show: int = 0
) -> tuple[list[RowReport], list[Fault]]:
    """Tokenize the rows of some runs with LLaMA-Factory, in the study's training environment.

    One process handles all of them: importing the host takes longer than reading most arms.
    """
    arguments = [read_yaml(root / run.files.train) for run in runs]
    python = prefixed(study, "train", ["python"])
    if python == ["python"]:
        python = [sys.executable]
    try:
        answers = ask_python(
            python,
            _SCRIPT,
            [{"arguments": config, "show": show} for config in arguments],
            env={"LLAMAFACTORY_VERBOSITY": "ERROR", "CUDA_VISIBLE_DEVICES": ""},
            failure="LLaMA-Factory could not read the training rows ({})",
        )
    except FaultsError as error:
        return [], list(error.faults)
    reports, faults = [], []
    for run, config, counts in zip(runs, arguments, answers, strict=True):
        if "error" in counts:
            wrong = f"LLaMA-Factory cannot read its rows ({counts['error']})"
            remedy = f"prepare the folder: cotdistill run {root} --only prepare"
            faults.append(Fault(run.run, wrong, "", remedy))
        else:
            reports.append(_report(run, config, counts, root))
    return reports, faults


def _report(
    run: ManifestRun, arguments: dict[str, Any], counts: dict[str, Any], root: Path
) -> RowReport:
    data = run.files.data
    in_file = None
    if data and arguments.get("max_samples") is None:
        with (root / data).open("rb") as stream:
            in_file = sum(1 for _ in stream)
    return RowReport(
        run=run.run,
        rows=counts["rows"],
        rows_in_file=in_file,
        prompts_cut=counts["prompts_cut"],
        answers_cut=counts["answers_cut"],
        no_loss=counts["no_loss"],
        tokens=counts["tokens"],
        trained_tokens=counts["trained_tokens"],
        longest=counts["longest"],
        cutoff_len=arguments["cutoff_len"],
        shown=tuple(tuple((t, text) for t, text in row) for row in counts["shown"]),
    )
