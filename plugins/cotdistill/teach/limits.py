"""How much may be asked at all."""

MOST_SAMPLES = 10_000
"""Samples of one question, or resamplings; more of them is a slip of the finger, and all of a
question's are planned in memory before the first is asked."""
