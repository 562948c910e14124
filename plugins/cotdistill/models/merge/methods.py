"""The arithmetic of merging, on a block of one tensor at a time.

Sources: task arithmetic, Ilharco et al. 2022, arXiv:2212.04089; TIES, Yadav et al. 2023,
arXiv:2306.01708; DARE, Yu et al. 2023, arXiv:2311.03099; SLERP as mergekit has it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.float32]

BLOCK = 1 << 18
"""Numbers of a block. What DARE keeps is drawn block by block, so another size is another merge."""

_ALMOST_PARALLEL = 0.9995  # SLERP's angle is too small to divide by its sine: interpolate
_NO_WEIGHT = 1e-8


@dataclass(frozen=True)
class Part:
    """What one model adds: its weight, the share of its differences that is kept, its identity."""

    weight: float
    density: float
    fingerprint: str


def linear(blocks: Sequence[Block], parts: Sequence[Part], is_normalized: bool) -> Block:
    """Return the weighted sum of models, or their weighted mean.

    >>> two = [np.float32([1, 2]), np.float32([3, 6])]
    >>> linear(two, [Part(1, 1, "a"), Part(3, 1, "b")], is_normalized=True).tolist()
    [2.5, 5.0]
    """
    total = sum(part.weight for part in parts) if is_normalized else 1.0
    result = blocks[0] * np.float32(parts[0].weight / total)
    for block, part in zip(blocks[1:], parts[1:], strict=True):
        result += block * np.float32(part.weight / total)
    return result


def kept_at_random(differences: Block, part: Part, key: str) -> None:
    """Drop differences at random and scale the rest, in place, so that the expectation stays.

    The key names seed, tensor and block: each has a generator of its own, so that neither order nor
    threads change what is dropped.
    """
    if part.density >= 1:
        return
    digest = hashlib.sha256(f"{key}/{part.fingerprint}".encode()).digest()
    generator = np.random.Philox(key=int.from_bytes(digest[:16], "little"))
    numbers = generator.random_raw((differences.size + 1) // 2).astype("<u8", copy=False)
    kept = numbers.view("<u4")[: differences.size] < math.ceil(part.density * 2**32)
    differences *= kept
    differences *= np.float32(1 / part.density)


def kept_by_size(differences: Block, threshold: float) -> None:
    """Drop the differences below a threshold, in place."""
    if threshold > 0:
        differences *= np.abs(differences) >= np.float32(threshold)


def combined(
    differences: list[Block], parts: Sequence[Part], *, by_sign: bool, is_normalized: bool
) -> Block:
    """Return the weighted sum of differences; by sign: of those that agree with the sum's sign.

    Where it is normalized, it is divided by the sum of the weights that took part.

    >>> one, other = np.float32([1, -1]), np.float32([-3, -3])
    >>> parts = [Part(1, 1, "a"), Part(1, 1, "b")]
    >>> combined([one.copy(), other.copy()], parts, by_sign=True, is_normalized=True).tolist()
    [-3.0, -2.0]
    """
    for block, part in zip(differences, parts, strict=True):
        block *= np.float32(part.weight)
    total = differences[0].copy()
    for block in differences[1:]:
        total += block
    if not by_sign:
        if is_normalized:
            total *= np.float32(1 / sum(part.weight for part in parts))
        return total
    sign = np.where(total >= 0, np.float32(1), np.float32(-1))
    result = np.zeros_like(total)
    divisor = np.zeros_like(total) if is_normalized else None
    for block, part in zip(differences, parts, strict=True):
        agrees = block * sign > 0
        block *= agrees
        result += block
        if divisor is not None:
            divisor += agrees * np.float32(part.weight)
    if divisor is not None:
        divisor[np.abs(divisor) < _NO_WEIGHT] = 1
        result /= divisor
    return result


@dataclass
class SizeCount:
    """How many numbers have which absolute value: exact, from blocks in any order.

    The absolute value of a float32 sorts like its 31 bits, of which the first pass over the blocks
    counts the upper 16 and the second those below, where the threshold lies.
    """

    upper: NDArray[np.int64]
    place: int = -1
    lower: NDArray[np.int64] | None = None
    above: int = 0

    @classmethod
    def empty(cls) -> SizeCount:
        """Return a count of nothing."""
        return cls(np.zeros(1 << 16, np.int64))

    def add(self, differences: Block) -> None:
        """Count a block: in the first pass all of it, in the second what is near the threshold."""
        bits = np.abs(differences).view("<u4")
        if self.lower is None:
            self.upper += np.bincount(bits >> 15, minlength=1 << 16)
        else:
            near = bits[bits >> 15 == self.place] & 0x7FFF
            self.lower += np.bincount(near, minlength=1 << 15)

    def look_closer(self, kept: int) -> None:
        """End the first pass: find where the kept-th largest number lies."""
        from_above = np.cumsum(self.upper[::-1])
        index = int(np.searchsorted(from_above, kept))
        self.place = len(self.upper) - 1 - index
        self.above = int(from_above[index] - self.upper[self.place])
        self.lower = np.zeros(1 << 15, np.int64)

    def threshold(self, kept: int) -> float:
        """End the second pass: return the absolute value of the kept-th largest number."""
        assert self.lower is not None
        from_above = np.cumsum(self.lower[::-1])
        place = len(self.lower) - 1 - int(np.searchsorted(from_above, kept - self.above))
        return float(np.array([(self.place << 15) + place], "<u4").view("<f4")[0])


def threshold_of(blocks: Sequence[Block], kept: int) -> float:
    """Return the absolute value of the kept-th largest number of some blocks.

    Ties: all that are as large as it are kept by `kept_by_size`, so a few more than asked for.

    >>> threshold_of([np.float32([1, -5]), np.float32([3, 0.5])], 2)
    3.0
    """
    return threshold_in_passes(lambda: iter(blocks), kept)


def threshold_in_passes(blocks: Callable[[], Iterable[Block]], kept: int) -> float:
    """Return the same of blocks that can be gone through twice, each time anew."""
    if kept < 1:
        return math.inf
    count = SizeCount.empty()
    for block in blocks():
        count.add(block)
    count.look_closer(kept)
    for block in blocks():
        count.add(block)
    return count.threshold(kept)


@dataclass
class Angle:
    """The dot product and the norms of two tensors, added up from their blocks."""

    dot: float = 0.0
    first: float = 0.0
    second: float = 0.0

    def add(self, one: Block, other: Block) -> None:
        """Add a block of each."""
        self.dot += float(np.dot(one, other))
        self.first += float(np.dot(one, one))
        self.second += float(np.dot(other, other))

    def shares(self, way: float) -> tuple[float, float]:
        """Return the factors of both tensors, `way` of the way from the first to the second.

        >>> angle = Angle()
        >>> angle.add(np.float32([1, 0]), np.float32([0, 1]))
        >>> [round(share, 6) for share in angle.shares(0.5)]
        [0.707107, 0.707107]
        """
        norms = math.sqrt(self.first) * math.sqrt(self.second)
        cosine = self.dot / norms if norms > 0 else 1.0
        if abs(cosine) > _ALMOST_PARALLEL:
            return 1 - way, way
        angle = math.acos(cosine)
        return math.sin((1 - way) * angle) / math.sin(angle), math.sin(way * angle) / math.sin(
            angle
        )
