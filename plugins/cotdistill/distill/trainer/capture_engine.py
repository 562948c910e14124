"""A teacher's signals from transformers: the reference, which works for every model and on CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cotdistill.distill.signals.row_key import places_of
from cotdistill.distill.signals.shard import RowSignals
from cotdistill.distill.trainer.language_model import LanguageModel

Row = tuple[list[int], list[int]]
_CHUNK = 256


class TransformersEngine:
    """Scores rows with a model in this process, a batch at a time."""

    def __init__(self, model: Any, vocabulary: int, k: int, temperatures: Sequence[float]) -> None:
        self.parts = LanguageModel.of(model, "teacher")
        self.vocabulary = vocabulary
        self.k = min(k, vocabulary)
        self.temperatures = tuple(t for t in temperatures if t != 1.0)

    def score(self, rows: Sequence[Row]) -> list[RowSignals]:
        """Return the signals of some rows, which are computed as one batch."""
        longest = max(len(ids) for ids, _ in rows)
        device = next(self.parts.inner.parameters()).device
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for number, (row, _) in enumerate(rows):
            ids[number, : len(row)] = torch.tensor(row)
            mask[number, : len(row)] = 1
        with torch.no_grad():
            states = self.parts.states(input_ids=ids.to(device), attention_mask=mask.to(device))
            return [
                self._row(states[number], row, labels) for number, (row, labels) in enumerate(rows)
            ]

    def _row(self, states: Tensor, ids: list[int], labels: list[int]) -> RowSignals:
        places = torch.tensor(places_of(labels), device=states.device)
        following = torch.tensor(ids, device=states.device)[places + 1]
        parts = [
            self._chunk(states[places[start : start + _CHUNK]], following[start : start + _CHUNK])
            for start in range(0, len(places), _CHUNK)
        ]
        columns = [torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True)]
        log_z = columns[4].T.astype(np.float32)
        return RowSignals(columns[0], columns[1], columns[2], columns[3], log_z)

    def _chunk(self, states: Tensor, following: Tensor) -> tuple[Tensor, ...]:
        logits = self.parts.logits(states)[:, : self.vocabulary].float()
        log_p = logits.sub_(torch.logsumexp(logits, -1, keepdim=True))
        top = log_p.topk(self.k, -1)
        chosen = log_p.gather(1, following[:, None])[:, 0]
        z = [torch.logsumexp(log_p / temperature, -1) for temperature in self.temperatures]
        log_z = torch.stack(z, 1) if z else log_p.new_zeros(len(log_p), 0)
        tail = torch.logsumexp(log_p.scatter_(1, top.indices, -torch.inf), -1)
        return top.indices, top.values, tail, chosen, log_z
