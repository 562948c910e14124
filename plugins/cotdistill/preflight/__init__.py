"""Everything that can be checked before compute is paid for: faults, environments, cost."""

PUBLIC_MODULES = (
    "check",
    "cost",
    "doctor",
    "plan",
    "plan_tables",
)
