"""Stored signals: a teacher's next-token distributions for exactly the rows of a training."""
