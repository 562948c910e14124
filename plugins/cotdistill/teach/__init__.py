"""Rationales asked of language models: teaching at a level and in a format, and guided sampling."""

PUBLIC_MODULES: tuple[str, ...] = (
    "asking",
    "budget",
    "continuing",
    "graded",
    "lesson",
    "limits",
    "outputs",
    "pilot",
    "probe",
    "profiles",
    "prompts",
    "questions",
    "sample",
    "sample_outputs",
    "sample_report",
    "sampling",
    "store",
    "teach",
)
