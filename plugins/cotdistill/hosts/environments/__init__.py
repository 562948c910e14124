"""The Python environments of the stages, and what is installed in them."""
