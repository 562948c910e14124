"""LLaMA-Factory: its arguments, its training rows, what it writes."""
