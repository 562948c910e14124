"""One module for each other program; each host is imported inside functions only."""
