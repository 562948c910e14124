"""The study file: its schema, its shipped examples, its resolution against the catalogue."""

PUBLIC_MODULES = (
    "arm",
    "declared_model",
    "drafts",
    "learner",
    "learning_rates",
    "listing",
    "load",
    "migrate",
    "questions",
    "requests",
    "resolve",
    "resolved_arm",
    "study",
)
