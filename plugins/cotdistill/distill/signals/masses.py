"""How much of a teacher's probability is kept, over any number of tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_BINS = 1 << 16


class Masses:
    """Shares of probability as they are counted: their mean and quantiles, in a fixed memory."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._bins = np.zeros(_BINS, np.int64)

    def add(self, values: NDArray[Any]) -> None:
        """Count some shares, each from 0 to 1."""
        self._sum += float(values.sum(dtype=np.float64))
        places = np.clip((values * _BINS).astype(np.int64), 0, _BINS - 1)
        np.add.at(self._bins, places, 1)

    @property
    def mean(self) -> float:
        """The mean."""
        return self._sum / max(1, int(self._bins.sum()))

    def quantile(self, share: float) -> float:
        """Return the quantile, to 1 / 65,536.

        >>> masses = Masses()
        >>> masses.add(np.linspace(0, 1, 101))
        >>> round(masses.quantile(0.05), 3), round(masses.mean, 3)
        (0.05, 0.5)
        """
        counted_up = self._bins.cumsum()
        return float(np.searchsorted(counted_up, share * counted_up[-1]) + 0.5) / _BINS
