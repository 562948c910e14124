"""SVG text that every picture is made of: its frame, its words and its colours.

Colours are CSS variables with a fallback, so that a picture follows the page it is in, light or
dark, and still reads as a file of its own. Every picture carries a title for screen readers.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

WIDTH = 680
_STYLE = (
    "<style>.ink{fill:var(--ink,#1c2128)}.soft{fill:var(--soft,#667080)}"
    ".grid{stroke:var(--line,#dde2e8)}text{font:13px system-ui,sans-serif}"
    ".small{font-size:12px}.head{font-weight:600}"
    "@media(prefers-color-scheme:dark){:root:not([data-theme]) .ink{fill:var(--ink,#e8ebef)}"
    ":root:not([data-theme]) .soft{fill:var(--soft,#9aa5b1)}"
    ":root:not([data-theme]) .grid{stroke:var(--line,#39414b)}}</style>"
)
COLOURS = ("#3b7dd8", "#d9730d", "#2f9e6e", "#b452c4", "#c9414f", "#7d8797", "#a88a00", "#159fb5")


def text(x: float, y: float, words: str, kind: str, anchor: str, more: str = "") -> str:
    """Return words at a place: `kind` is the classes, `anchor` which end of them is there."""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}" {more}'.rstrip()
    return f"<text {place}>{escape(words)}</text>"


def svg(title: str, height: int, parts: Sequence[str]) -> str:
    """Return a picture of these parts."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title, quote=True)}"><title>{escape(title)}</title>{_STYLE}'
        + "".join(parts)
        + "</svg>\n"
    )
