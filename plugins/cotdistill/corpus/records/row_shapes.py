"""Every shape of rows that can be read as traces, and which of them a row has.

The shapes of the papers' repositories are in `paper_shapes`, those of common training files in
`common_shapes`. A row's shape follows from its keys. What its keys do not say (dataset, teacher,
level ...) comes from `SourceInfo`, which is filled from the file's name and the registry.
"""

from __future__ import annotations

from cotdistill.corpus.records.common_shapes import common_shape_of, usual_shape_of
from cotdistill.corpus.records.paper_shapes import PAPER_SHAPES
from cotdistill.corpus.records.shape import Row, RowShape, SourceInfo
from cotdistill.corpus.records.trace_row import is_trace_row, trace_of

TRACE_SHAPE = RowShape("trace", (), lambda row, _: [trace_of(row)])


def shape_of(row: Row, info: SourceInfo = SourceInfo()) -> RowShape | None:  # noqa: B008
    """Return the shape of a row, None if it is none that is known.

    >>> shape_of({"instruction": "1+1?", "output": "2"}).name
    'instruction/output'
    >>> shape_of({"input": "1+1?", "chain": "..", "answer": "2", "initial_correct": True}).name
    'mentor-kd chains'
    """
    columns = info.columns
    if is_trace_row(row) and columns.prompt is None and columns.response is None:
        return TRACE_SHAPE
    if (shape := common_shape_of(row, columns)) is not None:
        return shape
    for shape in PAPER_SHAPES:
        if all(key in row for key in shape.keys) and not _is_preference(row, shape):
            return shape
    return usual_shape_of(row)


def _is_preference(row: Row, shape: RowShape) -> bool:
    """KTO rows have a label as Mentor-KD's have; theirs is a boolean and no answer."""
    return "label" in shape.keys and isinstance(row["label"], bool)
