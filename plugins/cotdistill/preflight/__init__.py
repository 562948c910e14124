"""Checks to make before paying for compute: errors in a study, environments, cost."""

PUBLIC_MODULES = (
    "check",
    "cost",
    "doctor",
    "plan",
    "plan_tables",
)
