"""Whether an import works in the Python that runs this; `ask_python` starts it there."""

from __future__ import annotations


def answer(statement: str) -> bool:
    """Execute an import statement of ours; what it raises is the reason why it does not work."""
    exec(statement, {})
    return True
