"""Whether an arm's rows hold thoughts between tags, which changes the prompt of some templates."""

from __future__ import annotations

import itertools

from cotdistill.arms.rows import Tally, source_traces
from cotdistill.errors import DataError
from cotdistill.studies.resolved_arm import ResolvedArm

_TAG = "<think>"
_LOOKED_AT = 100


def has_thoughts(arm: ResolvedArm) -> bool:
    """Whether one of the first rows has a thought; False where the rows are not here yet."""
    if arm.parts:
        return any(has_thoughts(part) for part in arm.parts)
    if arm.source is None or not arm.source.at_hand:
        return False
    try:
        traces = itertools.islice(source_traces(arm.source, Tally()), _LOOKED_AT)
        return any(_TAG in trace.rationale for trace in traces)
    except DataError:  # reported with all of its rows where the arm is checked
        return False
