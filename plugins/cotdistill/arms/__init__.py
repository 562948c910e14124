"""An arm of a study becomes one training file and its ledger."""

PUBLIC_MODULES = (
    "build",
    "rows",
    "thoughts",
)
