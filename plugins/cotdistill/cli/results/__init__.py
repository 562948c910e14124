"""Verbs that come after a run: its results reported, compared, graded again, written elsewhere."""
