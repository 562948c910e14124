"""Typed shapes of everything a user writes down: a mapping in, a checked value out."""
