"""The records that the rounds of a loop leave in `rounds/`: what was kept, and what was decided.

A record with `skip` ends the loop: the jobs of later rounds that look at it finish at once
(`cotdistill.runfolder.skipping`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cotdistill.runfolder.json_record import read_json_record, write_json_record
from cotdistill.runfolder.round_paths import filter_record_of, record_of

_WHAT = "the record of a round"
Verdict = Literal["continue", "stop", "end"]


@dataclass(frozen=True)
class Bin:
    """The questions of one difficulty in a round.

    Units: `coverage` the share of its questions with a correct answer; `rows` its training rows;
    `correct` how many of its questions have so many different correct answers, by their number.
    """

    name: str
    questions: int
    coverage: float
    rows: int
    correct: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class RoundData:
    """What a round sampled and what of it is trained on.

    Units: `correct` is how many questions have so many different correct answers, by their number;
    `distinct` the share of the correct answers whose text is no copy of another answer to the same
    question; `words` the median length of a new row; `truncated` and `unsound` shares of all
    samples and of the new rows; `tokens` of prompts and answers. `model` says which weights were
    sampled. `rows` counts training rows by where they come from: new, previous, original.
    """

    round: int
    model: Mapping[str, Any]
    questions: int
    samples: int
    coverage: float
    correct: Mapping[str, int]
    bins: tuple[Bin, ...]
    rows: Mapping[str, int]
    dropped: Mapping[str, int]
    distinct: float | None
    words: float | None
    truncated: float
    unsound: float | None
    tokens: int
    skip: Mapping[str, str] = field(default_factory=dict)

    @property
    def hardest_share(self) -> float | None:
        """The share of the new rows that the hardest questions have, None where not known."""
        new = sum(one.rows for one in self.bins)
        return self.bins[-1].rows / new if self.bins and new else None

    @property
    def hardest_questions(self) -> float | None:
        """The share of all questions that are the hardest ones, None where not known."""
        return self.bins[-1].questions / self.questions if self.bins else None


@dataclass(frozen=True)
class RoundDecision:
    """How a round scored and what follows.

    Units: `scores` fractions by task, `dev` their mean; `gain` points above the best round before,
    `low` and `high` its 95 % interval over questions; `first_loss` the loss of the first training
    steps, which is that of the model that is trained on the rows; `likelihood` the negative
    log-likelihood of the rows in nats a token under the model that wrote them, None where it is not
    measured; `seconds` of wall time by stage.
    `best` is the round with the highest score so far; 0 is the model that the loop starts from.
    """

    round: int
    scores: Mapping[str, float]
    dev: float
    gain: float
    low: float
    high: float
    best: int
    verdict: Verdict
    reason: str
    alarms: tuple[str, ...] = ()
    first_loss: float | None = None
    likelihood: float | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    skip: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """Which round became a loop's model, the development scores it was chosen by, and why it ended.

    Units: `dev` fractions, round 0 first, None where a round was not done.
    """

    round: int
    dev: tuple[float | None, ...]
    reason: str
    weights: str
    model: Mapping[str, Any]


def write_data(folder: Path, name: str, data: RoundData) -> None:
    """Write what a round sampled and kept."""
    write_json_record(folder / filter_record_of(name), data)


def write_decision(folder: Path, name: str, decision: RoundDecision) -> None:
    """Write what was decided after a round."""
    write_json_record(folder / record_of(name), decision)


def write_choice(folder: Path, name: str, choice: Choice) -> None:
    """Write which round of a loop was chosen."""
    write_json_record(folder / record_of(name), choice)


def read_data(folder: Path, name: str) -> RoundData | None:
    """Return what a round sampled and kept; None where it has no such record.

    Raises:
        DataError: the record is broken.
    """
    return read_json_record(folder / filter_record_of(name), RoundData, _WHAT)


def read_decision(folder: Path, name: str) -> RoundDecision | None:
    """Return what was decided after a round; None where it has no such record.

    Raises:
        DataError: the record is broken.
    """
    return read_json_record(folder / record_of(name), RoundDecision, _WHAT)


def read_choice(folder: Path, name: str) -> Choice | None:
    """Return which round of a loop was chosen; None where it is not done.

    Raises:
        DataError: the record is broken.
    """
    return read_json_record(folder / record_of(name), Choice, _WHAT)
