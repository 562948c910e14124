"""Confidence intervals, tests of differences, what a study can show, and pass@k; pure."""

PUBLIC_MODULES = (
    "confidence",
    "contrasts",
    "crossed_test",
    "detectable_effect",
    "distributions",
    "pass_at_k",
    "racing",
    "run_variance",
    "significance",
)
