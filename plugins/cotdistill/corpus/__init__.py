"""Traces: read, graded, linted, filtered, mixed and measured."""

PUBLIC_MODULES = (
    "filtering.filter",
    "filtering.lint",
    "filtering.settings",
    "filtering.survey",
    "filtering.write",
    "grade_file",
    "granularity",
    "granularity_measures",
    "mixing.mix",
    "mixing.mixture",
    "mixing.settings",
    "records.gold_files",
    "records.import_traces",
    "records.row_reader",
    "records.shape",
    "records.sources",
    "records.trace",
    "records.trace_row",
    "text.contamination",
    "text.words",
)
