"""The verbs `lint` and `filter`: passes over trace files of any size."""
