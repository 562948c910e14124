"""Check the arithmetic that a rationale states."""
