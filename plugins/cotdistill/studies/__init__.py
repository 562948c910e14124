"""The study file: its schema, its shipped examples, its resolution against the catalogue."""

PUBLIC_MODULES = (
    "arm",
    "drafts",
    "learning_rates",
    "listing",
    "load",
    "resolve",
    "resolved_arm",
    "study",
)
