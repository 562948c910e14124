"""Models that are made here rather than downloaded: randomly initialised ones and merges."""

PUBLIC_MODULES = (
    "merge.file",
    "merge.merge",
    "merge.settings",
    "scratch",
    "scratch_model",
)
