"""Replace a name of another program for a while, where it offers no option for what we need."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

_ABSENT = object()


@contextlib.contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Give an attribute of a module, class or object another value while the block runs.

    >>> from types import SimpleNamespace
    >>> host = SimpleNamespace(limit=8)
    >>> with replaced(host, "limit", 64), replaced(host, "extra", True):
    ...     host
    namespace(limit=64, extra=True)
    >>> host
    namespace(limit=8)
    """
    before = vars(owner).get(name, _ABSENT)  # not getattr: a staticmethod must come back as one
    setattr(owner, name, value)
    try:
        yield
    finally:
        if before is _ABSENT:
            delattr(owner, name)
        else:
            setattr(owner, name, before)
