"""The study file: its schema, its shipped examples, its resolution against the catalogue."""

PUBLIC_MODULES = (
    "arm",
    "asked_model",
    "baselines",
    "declared_model",
    "drafts",
    "instructions",
    "json_schema",
    "learner",
    "learning_rates",
    "listing",
    "load",
    "migrate",
    "prompt",
    "question_sets",
    "questions",
    "requests",
    "resolve",
    "resolved_arm",
    "selection",
    "study",
)
