"""Words, near-duplicates and train-test contamination of texts; pure."""
