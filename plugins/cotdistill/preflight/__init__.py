"""Checks to make before paying for compute: errors in a study, environments, cost."""

PUBLIC_MODULES = (
    "asking",
    "check",
    "cost",
    "doctor",
    "plan",
    "plan_tables",
    "planned",
)
