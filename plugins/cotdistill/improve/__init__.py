"""Loops: what a round keeps of its samples, its alarms, and when and with which round it ends."""

PUBLIC_MODULES = (
    "decide",
    "keep",
    "likelihood",
    "tell",
)
