"""Execute a run folder: jobs, their records, restarts after interruptions."""

PUBLIC_MODULES = (
    "jobs",
    "options",
    "outdated",
    "own_jobs",
    "run",
    "step",
    "watch",
)
