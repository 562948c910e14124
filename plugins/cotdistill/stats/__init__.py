"""Confidence intervals, tests of differences, what a study can show, and pass@k; pure."""

PUBLIC_MODULES = (
    "confidence",
    "contrasts",
    "crossed_test",
    "detectable_effect",
    "pass_at_k",
    "run_variance",
    "significance",
)
