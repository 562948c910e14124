"""Merging models of one shape into another, as MiCoTA's teacher assistant."""
