"""Distil chain-of-thought reasoning into small models on stock LLaMA-Factory and lm-eval."""

__version__ = "0.1.0"
