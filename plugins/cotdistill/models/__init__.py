"""Models that are made here rather than downloaded: randomly initialised ones and merges."""

PUBLIC_MODULES = (
    "merge.file",
    "merge.merge",
    "merge.settings",
    "merge.with_mergekit",
    "scratch",
    "scratch_model",
)
