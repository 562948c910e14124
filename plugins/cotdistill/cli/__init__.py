"""Parse, call one function of work, print."""
