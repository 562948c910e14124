"""The forms of a rationale, and the names under which papers and data sets have them.

Each format has one name that is printed; whatever reads a format takes the others too.
"""

from __future__ import annotations

from typing import Any

from cotdistill.errors import did_you_mean

TAUGHT = ("natural", "least-to-most", "rephrase", "symbolic", "program")
"""Formats that a teacher can be asked for."""

FORMATS = (*TAUGHT, "plain", "zero-shot", "answer-only")
"""All formats: `plain` is a bare request, `zero-shot` and `answer-only` are of published files."""

ALIASES = {
    "bsm": "least-to-most",  # of Distilling-CoT-Reasoning, as are rar and sym
    "l2m": "least-to-most",
    "ltm": "least-to-most",
    "least_to_most": "least-to-most",
    "rar": "rephrase",
    "rephrase-and-respond": "rephrase",
    "rephrase_and_respond": "rephrase",
    "sym": "symbolic",
    "pot": "program",
    "program-of-thought": "program",
    "program_of_thought": "program",
    "nl": "natural",
    "natural-language": "natural",
    "natural_language": "natural",
    "answer_only": "answer-only",
    "zero_shot": "zero-shot",
}


def format_called(name: Any) -> Any:
    """Return the name that a format is printed with; what is no name of one stays as it is.

    >>> format_called("BSM"), format_called("symbolic"), format_called("my-own")
    ('least-to-most', 'symbolic', 'my-own')
    """
    if not isinstance(name, str):
        return name
    folded = name.strip().lower()
    return ALIASES.get(folded, folded if folded in FORMATS else name)


def with_format(factors: dict[str, Any]) -> dict[str, Any]:
    """Return factors with the printed name of their format.

    >>> with_format({"level": 5, "format": "rar"})
    {'level': 5, 'format': 'rephrase'}
    """
    return {k: format_called(v) if k == "format" else v for k, v in factors.items()}


def format_meant(name: str, known: tuple[str, ...]) -> str:
    """Return the hint for a format that is not there: the nearest one, under its printed name.

    >>> format_meant("simbolic", TAUGHT), format_meant("bms", TAUGHT)
    ("did you mean 'symbolic'?", "did you mean 'least-to-most'?")
    """
    others = [alias for alias, of in ALIASES.items() if of in known]
    hint = did_you_mean(name, [*known, *others])
    meant = hint.removeprefix("did you mean '").removesuffix("'?")
    if meant in ALIASES:
        return f"did you mean '{ALIASES[meant]}'?"
    return hint if hint.startswith("did") else f"known: {', '.join(known)}"
