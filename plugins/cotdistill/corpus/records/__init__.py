"""Traces and the row formats they are read from."""
