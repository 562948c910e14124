"""How likely a round's new rows are to the model that wrote them: a forward pass over some of them.

A model that learns from its own answers becomes surer of them round by round. Where their negative
log-likelihood falls and the score does not rise, it learns nothing but to repeat itself.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path

from cotdistill.arms.rows import COLUMNS
from cotdistill.closeness.engines import Student, transformers_engine
from cotdistill.closeness.measure import measured
from cotdistill.closeness.paired import Answered, Paired
from cotdistill.errors import DataError, Fault
from cotdistill.files.json_file import read_object
from cotdistill.files.jsonl import read_rows
from cotdistill.improve.loop import loop_run
from cotdistill.improve.sampled import LEDGER
from cotdistill.runfolder.json_record import read_json_record, write_json_record
from cotdistill.runfolder.round_paths import likelihood_record_of, rows_of, samples_of
from cotdistill.stats.confidence import cluster_interval

_NEW = "new"
_AT_ONCE = 4
_LONGEST = 8192


@dataclass(frozen=True)
class OwnLikelihood:
    """The new rows of a round under the model that wrote them.

    Units: `nll` is the mean negative log-likelihood of a row's tokens in nats, with its 95 %
    interval over questions; `tokens` a row.
    """

    questions: int
    tokens: float
    nll: float
    low: float
    high: float

    def __str__(self) -> str:
        """Say it in a line of a log."""
        return (
            f"{self.nll:.3f} nats a token ({self.low:.3f} to {self.high:.3f}) over "
            f"{self.questions} rows of {self.tokens:.0f} tokens"
        )


def measure_likelihood(folder: Path, name: str) -> OwnLikelihood:
    """Score the first new row of some questions, write what was found, and return it.

    Raises:
        DataError: rows are missing, or a row is longer than can be scored.
        FaultsError: the model cannot be loaded.
    """
    at = loop_run(folder, name)
    first: dict[str, Answered] = {}
    for row in read_rows(folder / rows_of(name)):
        key = str(row.get("question_id"))
        if row.get("from") == _NEW and key not in first:
            asked, response = str(row[COLUMNS["prompt"]]), str(row[COLUMNS["response"]])
            first[key] = Answered(key, at.study.prompt.system or "", asked, response)
    chosen = list(first.values())[: at.loop.likelihood]
    if not chosen:
        raise DataError(Fault(str(folder / rows_of(name)), "no new row in it"))
    ledger = read_object(folder / samples_of(name) / LEDGER, "a ledger", "sample again")
    model = str(ledger["settings"]["model"])
    model = str(folder / model) if (folder / model).is_dir() else model
    engine = transformers_engine(model, None, "auto", _AT_ONCE)
    pairs = Paired({_NEW: tuple(chosen)}, len(chosen), {})
    scored = measured(Student(model), model, pairs, engine, _LONGEST).arms[_NEW]
    interval = cluster_interval([one.nll for one in scored])
    tokens = statistics.fmean(one.tokens for one in scored)
    found = OwnLikelihood(len(scored), tokens, interval.value, interval.low, interval.high)
    write_json_record(folder / likelihood_record_of(name), found)
    return found


def read_likelihood(folder: Path, name: str) -> OwnLikelihood | None:
    """Return how likely a round's rows were to their writer; None where it was not measured.

    Raises:
        DataError: the record is broken.
    """
    path = folder / likelihood_record_of(name)
    return read_json_record(path, OwnLikelihood, "the record of a likelihood")
