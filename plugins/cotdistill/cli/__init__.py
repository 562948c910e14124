"""The verbs: each parses its options, calls one function and prints."""

PUBLIC_MODULES = ("main",)
