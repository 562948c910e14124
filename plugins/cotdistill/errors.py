"""The family tree of everything a user can get wrong.

    UserError          the command line prints it without a traceback
    ├── MisuseError         the command was typed wrongly: exit status 2
    └── FaultsError    what was read has faults: exit status 1; carries them all
        ├── StudyError     in a study file
        ├── DataError      in rows of data
        └── BundleError    in a packaged file, ours or somebody else's

A fault is one line: place, what is wrong, what was expected, what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, and the way out.

    >>> print(Fault("study.yaml:arms.long", "weight -1", "a number above 0", "give it a share"))
    study.yaml:arms.long: weight -1; expected a number above 0; give it a share
    """

    place: str
    wrong: str
    expected: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        expected = f"expected {self.expected}" if self.expected else ""
        parts = [part for part in (self.wrong, expected, self.remedy) if part]
        return f"{self.place}: " + "; ".join(parts).replace("?; ", "? ")


class UserError(Exception):
    """An error that a user can fix; shown as one or more lines, never as a traceback."""

    exit_code = 1


class MisuseError(UserError):
    """The command line is wrong."""

    exit_code = 2


class FaultsError(UserError):
    """Everything that is wrong with what was read, all at once."""

    def __init__(self, faults: Fault | Iterable[Fault]) -> None:
        self.faults: tuple[Fault, ...] = (faults,) if isinstance(faults, Fault) else tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class StudyError(FaultsError):
    """A study file says something that cannot be meant."""


class DataError(FaultsError):
    """Rows of data are missing, broken or not what was declared."""


class BundleError(FaultsError):
    """A packaged file is missing or broken, or two files have one name."""


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Point from an unknown name to the nearest known one, or list what there is.

    >>> did_you_mean("gsm8", ["gsm8k", "svamp"])
    "did you mean 'gsm8k'?"
    >>> did_you_mean("zebra", ["gsm8k", "svamp"])
    'known: gsm8k, svamp'
    >>> did_you_mean("zebra", [])
    'there is none'
    """
    if not known:
        return "there is none"
    folded = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower(), list(folded), n=1, cutoff=0.6)
    if near:
        return f"did you mean '{folded[near[0]]}'?"
    shown = ", ".join(list(known)[:12])
    return f"known: {shown}" + (f" and {len(known) - 12} more" if len(known) > 12 else "")
