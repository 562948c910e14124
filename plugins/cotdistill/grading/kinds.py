"""The kinds of reference answer that the grader tells apart."""

from __future__ import annotations

from typing import Literal

Kind = Literal["auto", "number", "expression", "letter", "boolean", "date", "text"]
"""What a reference answer is; "auto" infers it from how the answer is written."""
