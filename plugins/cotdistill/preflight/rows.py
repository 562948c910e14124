"""Before training: each student's view of each arm, from the host's own data code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotdistill.errors import Fault, FaultsError
from cotdistill.files.yamls import read_yaml
from cotdistill.hosts.llamafactory.row_counts import RowCounts, ask_rows
from cotdistill.runfolder.commands import prefixed
from cotdistill.runfolder.manifest import ManifestRun
from cotdistill.studies.study import Study
from cotdistill.tables import counted


@dataclass(frozen=True)
class RowReport:
    """One student's view of one arm under one recipe: counts of rows and tokens.

    `max_truncated` is the share of truncated responses that the recipe allows, `fits` the
    cutoff_len that keeps it.
    """

    run: str
    rows: int
    rows_in_file: int | None
    validation_rows: int
    prompts_cut: int
    answers_cut: int
    no_loss: int
    tokens: int
    trained_tokens: int
    longest: int
    cutoff_len: int
    max_truncated: float
    is_allowed: bool
    fits: int
    shown: tuple[tuple[tuple[bool, str], ...], ...]

    def faults(self) -> list[Fault]:
        """Return what would silently degrade training."""
        faults = []
        if not self.is_allowed:
            remedy = f"a cutoff_len of {self.longest:,} fits all rows"
            if self.fits < self.longest:
                remedy += f", {self.fits:,} all but {self.max_truncated:.1%} of them"
            faults += [Fault(self.run, wrong, "", remedy) for wrong in self._truncated()]
        if self.no_loss:
            faults.append(
                Fault(
                    self.run,
                    f"{counted(self.no_loss, 'row')} without a token outside the loss mask",
                )
            )
        seen = self.rows + self.validation_rows
        if self.rows_in_file is not None and self.rows_in_file != seen:
            dropped = self.rows_in_file - seen
            faults.append(
                Fault(self.run, f"LLaMA-Factory silently drops {counted(dropped, 'row')}")
            )
        return faults

    def notes(self) -> list[str]:
        """Return what the recipe allows and is worth knowing."""
        allowed = f"its recipe allows {self.max_truncated:.1%} (max_truncated)"
        wrongs = self._truncated() if self.is_allowed else []
        return [f"{self.run}: {wrong}; {allowed}" for wrong in wrongs]

    def _truncated(self) -> list[str]:
        cut = (
            (self.answers_cut, "lose the end of the response, including the end-of-text token"),
            (self.prompts_cut, "lose part of the prompt"),
        )
        return [
            f"{count:,} of {self.rows:,} rows {what} at cutoff_len {self.cutoff_len:,}"
            for count, what in cut
            if count
        ]


def row_reports(
    study: Study, root: Path, runs: Sequence[ManifestRun], show: int = 0
) -> tuple[list[RowReport], list[Fault]]:
    """Tokenize the rows of some runs with LLaMA-Factory, in the study's training environment."""
    arguments = [read_yaml(root / str(run.files.train)) for run in runs]
    python = prefixed(study, "train", ["python"])
    if python == ["python"]:
        python = [sys.executable]
    try:
        answers = ask_rows(python, arguments, show)
    except FaultsError as error:
        return [], list(error.faults)
    reports, faults = [], []
    for run, config, counts in zip(runs, arguments, answers, strict=True):
        if isinstance(counts, str):
            wrong = f"LLaMA-Factory cannot read its rows ({counts})"
            remedy = f"prepare the folder: cotdistill run {root} --only prepare"
            faults.append(Fault(run.run, wrong, "", remedy))
        else:
            allowed = study.recipes[run.recipe].max_truncated
            reports.append(_report(run, config, counts, root, allowed))
    return reports, faults


def _report(
    run: ManifestRun, arguments: dict[str, Any], counts: RowCounts, root: Path, allowed: float
) -> RowReport:
    data = run.files.data
    in_file = None
    if data and arguments.get("max_samples") is None:
        with (root / data).open("rb") as stream:
            in_file = sum(1 for _ in stream)
    return RowReport(
        run=run.run,
        rows=counts.rows,
        rows_in_file=in_file,
        validation_rows=counts.validation_rows,
        prompts_cut=counts.prompts_cut,
        answers_cut=counts.answers_cut,
        no_loss=counts.no_loss,
        tokens=counts.tokens,
        trained_tokens=counts.trained_tokens,
        longest=counts.longest,
        cutoff_len=arguments["cutoff_len"],
        max_truncated=allowed,
        is_allowed=counts.allows(allowed),
        fits=counts.fitting(allowed),
        shown=counts.shown,
    )
