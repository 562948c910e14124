"""Confidence intervals, significance tests and pass@k; pure."""

PUBLIC_MODULES = (
    "confidence",
    "pass_at_k",
    "significance",
)
