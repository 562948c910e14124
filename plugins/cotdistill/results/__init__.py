"""Scores after a run: collected, compared, graded again, judged, reported."""

PUBLIC_MODULES = (
    "best_epoch",
    "closeness_of_runs",
    "collect",
    "compare",
    "dev_scores",
    "judge.judge",
    "judge.options",
    "publish.publish",
    "report.narrow",
    "report.report",
    "report.serve",
    "report.tables",
    "report.track",
    "rescore",
    "rescore_tables",
    "run_names",
    "run_results",
)
