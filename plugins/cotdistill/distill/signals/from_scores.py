"""Signals from a server or an engine that answers with the k likeliest tokens of each place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cotdistill.distill.signals.row_key import places_of
from cotdistill.distill.signals.shard import RowSignals
from cotdistill.errors import Fault, FaultsError
from cotdistill.hosts.prompt_logprobs import Scores

Row = tuple[list[int], list[int]]


@dataclass(frozen=True)
class ScoreEngine:
    """Scores rows by asking for prompt log probabilities.

    For temperature 1 only: k tokens say nothing about the sum of p ** (1/T). Ids that the student
    does not have, as those of a padded head, are left out.
    """

    place: str
    k: int
    vocabulary: int
    ask: Callable[[Sequence[Sequence[int]]], Iterable[Scores]]

    def score(self, rows: Sequence[Row]) -> list[RowSignals]:
        """Return the signals of each row, in order.

        Raises:
            FaultsError: a place that is trained on has fewer than k tokens.
        """
        answers = self.ask([ids for ids, _ in rows])
        return [
            self._row(ids, labels, scores)
            for (ids, labels), scores in zip(rows, answers, strict=True)
        ]

    def _row(self, ids: list[int], labels: list[int], scores: Scores) -> RowSignals:
        places = places_of(labels)
        found_ids = np.zeros((len(places), self.k), np.int64)
        log_p = np.zeros((len(places), self.k), np.float32)
        chosen = np.zeros(len(places), np.float32)
        for number, place in enumerate(places):
            entries = scores[place + 1] or {}
            shared = ((token, entry) for token, entry in entries.items() if token < self.vocabulary)
            best = sorted(shared, key=lambda entry: -entry[1][0])[: self.k]
            following = entries.get(ids[place + 1])
            if len(best) < self.k or following is None:
                own = "" if following else ", not its own"
                wrong = f"{len(best)} tokens for a place{own}"
                remedy = "raise the server's --max-logprobs, or lower --top-k"
                raise FaultsError(Fault(self.place, wrong, f"the {self.k} likeliest", remedy))
            found_ids[number] = [token for token, _ in best]
            log_p[number] = [value for _, (value, _) in best]
            chosen[number] = following[0]
        with np.errstate(divide="ignore"):
            tail = np.log(np.maximum(1.0 - np.exp(log_p.astype(np.float64)).sum(1), 0.0))
        return RowSignals(
            found_ids, log_p, tail.astype(np.float32), chosen, np.zeros((0, len(places)), "f4")
        )
