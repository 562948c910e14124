"""The study file: its schema, its shipped examples, its resolution against the catalogue."""

PUBLIC_MODULES = (
    "arm",
    "drafts",
    "listing",
    "load",
    "resolve",
    "resolved_arm",
    "study",
)
