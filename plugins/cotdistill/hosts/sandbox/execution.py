"""What a program may use, and what became of it, as values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Tier = Literal["bubblewrap", "landlock", "plain"]
TIERS: tuple[Tier, ...] = ("bubblewrap", "landlock", "plain")

Verdict = Literal[
    "ok", "raised", "timeout", "cpu", "memory", "output", "killed", "unsupported", "sandbox_failed"
]
"""`unsupported`: not Python, or a module is needed that the sandbox lacks. `sandbox_failed`: the
sandbox broke, so nothing is known about the program; it must not count as wrong."""

_LONG_FLOAT = re.compile(r"(?<![\w.])[-+]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?(?![\w.])")
_DIGITS = 10


@dataclass(frozen=True)
class Limits:
    """What one program may use; the same for all programs of a sandbox.

    Units: seconds, mebibytes of address space (the loaded libraries take about 150 of them), and
    kibibytes of output.
    """

    wall: float = 30.0
    cpu: int = 10
    memory: int = 1024
    output: int = 64


@dataclass(frozen=True)
class Execution:
    """What became of one program: the verdict, what it printed, and what it used.

    `value` is the value of a last expression that stands alone, as text; `detail` says more about
    any verdict but `ok`, in one line.
    """

    verdict: Verdict
    output: str = ""
    value: str = ""
    detail: str = ""
    cpu: float = 0.0
    wall: float = 0.0

    @property
    def answer(self) -> str:
        r"""The last line that was printed, else the value; long floats are rounded.

        What was printed before an exception or a limit counts.

        >>> Execution("ok", "12\n36\n\n", "None").answer, Execution("ok", "", "36").answer
        ('36', '36')
        >>> Execution("ok", "Total: 0.30000000000000004 m\n").answer
        'Total: 0.3 m'
        """
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        text = lines[-1] if lines else self.value.strip()
        return _LONG_FLOAT.sub(_rounded, text)


def _rounded(found: re.Match[str]) -> str:
    """A float without its noise, written without an exponent where that is short.

    >>> import re
    >>> [_LONG_FLOAT.sub(_rounded, text) for text in ("36.0000000001", "1e+16", "v1.25 2.50")]
    ['36', '10000000000000000', 'v1.25 2.50']
    """
    text = found[0]
    digits = sum(character.isdigit() for character in re.split("[eE]", text)[0])
    if digits <= _DIGITS and "e" not in text.lower():
        return text
    value = float(f"{float(text):.{_DIGITS}g}")
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    return repr(value)
