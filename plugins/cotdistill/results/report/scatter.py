"""Small pictures side by side: scores against one measure each, a dot an arm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cotdistill.results.report.charts import Figure, legend, x_ticks
from cotdistill.results.report.svg import COLOURS, WIDTH, svg, text
from cotdistill.stats.confidence import Interval
from cotdistill.tables import Table

_ACROSS = 3
_LEFT, _GAP, _HIGH, _TOP, _BELOW = 52, 22, 130, 46, 44
_MOST_NAMED = 16  # arms that have a colour of their own


@dataclass(frozen=True)
class Spot:
    """An arm: what was measured of it, and its score."""

    name: str
    x: float
    y: Interval


@dataclass(frozen=True)
class Panel:
    """One measure: its name and unit, two lines of words about it, and the arms."""

    label: str
    words: tuple[str, str]
    spots: tuple[Spot, ...]


def scatter(name: str, title: str, about: str, panels: Sequence[Panel]) -> Figure:
    """Return the panels, three in a row, on one scale of scores."""
    names = list(dict.fromkeys(spot.name for panel in panels for spot in panel.spots))
    bounds = [
        bound
        for panel in panels
        for spot in panel.spots
        for bound in (spot.y.value, spot.y.low, spot.y.high)
        if not math.isnan(bound)
    ]
    low, high = min(bounds), max(bounds)
    low, high = max(0.0, math.floor(low * 20) / 20), min(1.0, math.ceil(high * 20) / 20)
    if high <= low:
        low, high = max(0.0, low - 0.05), min(1.0, high + 0.05)
    wide = (WIDTH - _LEFT - 8 - _GAP * (_ACROSS - 1)) / _ACROSS
    tall = _TOP + _HIGH + _BELOW
    parts: list[str] = []
    for number, panel in enumerate(panels):
        left = _LEFT + (wide + _GAP) * (number % _ACROSS)
        top = tall * (number // _ACROSS) + _TOP
        parts += _panel(panel, names, (left, top, wide), (low, high))
        if number % _ACROSS == 0:
            for share in (low, (low + high) / 2, high):
                y = top + _HIGH * (1 - (share - low) / (high - low))
                parts.append(text(left - 8, y + 4, f"{100 * share:.0f} %", "soft small", "end"))
    bottom = tall * math.ceil(len(panels) / _ACROSS)
    shown, height = legend(names, bottom + 14) if len(names) <= _MOST_NAMED else ([], bottom)
    rows = tuple(
        (panel.label, spot.name, f"{spot.x:.6g}", *_numbers(spot.y))
        for panel in panels
        for spot in panel.spots
    )
    data = Table(("measure", "arm", "value", "score", "low", "high"), rows)
    return Figure(name, title, about, svg(title, height, [*parts, *shown]), data)


def _panel(
    panel: Panel,
    names: Sequence[str],
    place: tuple[float, float, float],
    scale: tuple[float, float],
) -> list[str]:
    left, top, wide = place
    low, high = scale
    xs = [spot.x for spot in panel.spots if math.isfinite(spot.x)]
    first, last = min(xs, default=0.0), max(xs, default=1.0)
    span = (last - first) or 1.0

    def across(x: float) -> float:
        return left + 10 + (wide - 20) * (x - first) / span

    def down(y: float) -> float:
        return top + _HIGH * (1 - (y - low) / (high - low))

    parts = [
        f'<line class="grid" x1="{left:.1f}" x2="{left + wide:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        for y in (top, top + _HIGH / 2, top + _HIGH)
    ]
    for line, words in enumerate(panel.words):
        parts.append(text(left, top - 28 + 16 * line, words, "soft small", "start"))
    for value, label in x_ticks(first, last, 3):
        parts.append(text(across(value), top + _HIGH + 16, label, "soft small", "middle"))
    parts.append(text(left + wide / 2, top + _HIGH + 33, panel.label, "ink small", "middle"))
    for spot in panel.spots:
        if not math.isfinite(spot.x):
            continue
        named = len(names) <= _MOST_NAMED
        colour = COLOURS[names.index(spot.name) % len(COLOURS) if named else 0]
        x, y = across(spot.x), down(spot.y.value)
        if spot.y.low < spot.y.high:
            ends = f'y1="{down(spot.y.low):.1f}" y2="{down(spot.y.high):.1f}"'
            bar = f'x1="{x:.1f}" x2="{x:.1f}" {ends}'
            parts.append(f'<line {bar} stroke="{colour}" stroke-width="2" opacity=".45"/>')
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"/>')
    return parts


def _numbers(value: Interval) -> tuple[str, ...]:
    bounds = (value.value, value.low, value.high)
    return tuple("" if math.isnan(one) else f"{one:.6g}" for one in bounds)
