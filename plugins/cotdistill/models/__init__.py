"""Models that are made here rather than downloaded."""

PUBLIC_MODULES = (
    "scratch",
    "scratch_model",
)
