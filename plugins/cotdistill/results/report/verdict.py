"""What a study found, in one line: the sentence that a report begins with."""

from __future__ import annotations

from collections.abc import Sequence

from cotdistill.results.arm_comparisons import LEVEL, Difference, points
from cotdistill.results.groups import NEXT
from cotdistill.results.matrix import Matrix
from cotdistill.results.report.arm_table import p_text
from cotdistill.tables import counted


def verdict(scores: Matrix) -> str:
    """Return the finding of the comparisons with the baseline, as far as they can show one.

    Where the study declares the mean over tasks its primary result, only means are counted.
    """
    primary = list(scores.mean_differences.values())
    if not (scores.mean_is_primary and primary):
        primary = [
            cell.difference
            for task in scores.tasks
            for group in scores.groups
            if (cell := scores.cells.get((group, task))) and cell.difference
        ]
    tested = [one for one in primary if one.p is not None]
    if not tested:
        return _untested(scores, primary)
    better = [one for one in tested if one.mark == "▲"]
    worse = [one for one in tested if one.mark == "▼"]
    rest = len(tested) - len(better) - len(worse)
    if {one.compared.claim for one in tested} == {"models"}:
        return _of_models(scores, tested)
    if not better and not worse:
        most = max(tested, key=lambda one: abs(one.difference.value))
        none = f"No {scores.compared} differs from {scores.baseline}"
        made = counted(len(tested), "comparison")
        return f"{none} in {made} (the largest difference: {_found(most)})."
    strongest = max(better or worse, key=lambda one: abs(one.difference.value))
    verb = "beats" if better else "is worse than"
    first, second, same = _names(strongest)
    line = f"{second} {verb} {first}{_where(scores, strongest)}{same} by "
    line += _found(strongest, named=False)
    if len(tested) == 1:
        return f"{line}."
    counts = [
        f"{len(better)} better" if better else "",
        f"{len(worse)} worse" if worse else "",
        f"{rest} without a difference shown" if rest else "",
    ]
    summed = ", ".join(one for one in counts if one)
    return f"{line}; of {len(tested)} comparisons with {scores.baseline}: {summed}."


def _untested(scores: Matrix, found: Sequence[Difference]) -> str:
    if len(scores.groups) < 2:
        return "One arm has scores, so there is nothing to compare."
    if not found:
        what = f"No {scores.compared}"
        if not scores.bases:
            return f"{what} has a counterpart with {scores.baseline}, so nothing was compared."
        return f"{what} shares questions with {scores.baseline}, so nothing was compared."
    return f"No difference from {scores.baseline} could be tested: nothing varies."


def _of_models(scores: Matrix, tested: Sequence[Difference]) -> str:
    """Say what holds where every arm has one run: it is about these models."""
    found = [one for one in tested if one.p_holm is not None and one.p_holm < LEVEL]
    claim = f"one seed each says nothing about the {scores.compared}s"
    if not found:
        most = max(tested, key=lambda one: abs(one.difference.value))
        return (
            f"No model differs from that of {scores.baseline} in "
            f"{counted(len(tested), 'comparison')} (the largest difference: {_found(most)}); "
            f"{claim}."
        )
    most = max(found, key=lambda one: abs(one.difference.value))
    first, second, same = _names(most)
    return (
        f"The model of {second} differs from that of {first}{_where(scores, most)}{same} by "
        f"{_found(most, named=False)}; {len(found)} of {len(tested)} models differ, but {claim}."
    )


def _found(one: Difference, named: bool = True) -> str:
    bounds = one.difference
    value = points(bounds.value) if named else f"{abs(100 * bounds.value):.1f}"
    low, high = bounds.low, bounds.high
    if not named and bounds.value < 0:
        low, high = -high, -low
    limits = f"[{points(low)}, {points(high)}]" if named else f"[{100 * low:.1f}, {100 * high:.1f}]"
    p = p_text(one.p_holm)
    shown = f"p < {p[1:]}" if p.startswith("<") else f"p = {p}"
    where = f"{one.second} on {one.task}, " if named else ""
    return f"{where}{value} points {limits}, {shown} after Holm"


def _names(one: Difference) -> tuple[str, str, str]:
    """Return the names of both without what they have in common, and that in brackets."""
    both = one.first.split(NEXT), one.second.split(NEXT)
    if len(both[0]) != len(both[1]) or both[0] == both[1]:
        return one.first, one.second, ""
    pairs = list(zip(*both, strict=True))
    same = ", ".join(a for a, b in pairs if a == b)
    first, second = (NEXT.join(pair[n] for pair in pairs if pair[0] != pair[1]) for n in (0, 1))
    return first, second, f" ({same})" if same else ""


def _where(scores: Matrix, one: Difference) -> str:
    return f" on {one.task}" if len(scores.tasks) > 1 else ""
