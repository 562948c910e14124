"""Pictures of a study as SVG text: intervals as dots with bars, curves, and heat maps.

Colours are CSS variables with a fallback, so that a picture follows the page it is in, light or
dark, and still reads as a file of its own. Every picture carries a title for screen readers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cotdistill.results.report.svg import COLOURS, WIDTH, svg, text
from cotdistill.stats.confidence import Interval
from cotdistill.tables import Table

_ASIDE = 5.0  # between the bars of two curves
_BOUNDS = ("value", "low", "high")
_TOPS = (0.1, 0.2, 0.25, 0.5, 1.0)  # of an axis of shares: a fifth of each is a round number
_LETTER = 7  # the width of a letter, at most
_MOST_ROOM = 380  # of the width, for labels on the left


@dataclass(frozen=True)
class Point:
    """A place on a curve; `y` a value with or without bounds."""

    x: float
    y: Interval


@dataclass(frozen=True)
class Curve:
    """A named line of points, from left to right."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Axes:
    """What curves are drawn along: the words at both axes, and the scale of the vertical one.

    `level` is a height that a dashed line marks, with its name.
    """

    x_label: str
    y_label: str
    percent: bool = True
    log_y: bool = False
    ticks: Sequence[tuple[float, str]] | None = None
    level: tuple[float, str] | None = None


@dataclass(frozen=True)
class Figure:
    """A picture with the name of its file, its title, what it shows in words, and its numbers."""

    name: str
    title: str
    about: str
    svg: str
    data: Table


def dots(
    name: str,
    title: str,
    about: str,
    rows: Sequence[tuple[str, str, Interval]],
    level: tuple[float, str] | None = None,
) -> Figure:
    """Return a row a score: label, group (its colour) and interval, on a scale of 0 to 100 %.

    `level` is a place on the scale that a dashed line marks, with its name.
    """
    left = _room([label for label, _, _ in rows])
    right, step = WIDTH - 64, 26
    height = 44 + step * len(rows)
    groups = list(dict.fromkeys(group for _, group, _ in rows))
    parts = []
    for tick in range(0, 101, 20):
        x = left + (right - left) * tick / 100
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="12" y2="{height - 28}"/>')
        parts.append(text(x, height - 10, f"{tick} %", "soft small", "middle"))
    if level is not None:
        x = left + (right - left) * level[0]
        bar = f'x1="{x:.1f}" x2="{x:.1f}" y1="12" y2="{height - 28}" stroke-dasharray="6 4"'
        parts.append(f'<line class="grid" {bar} stroke-width="2"/>')
        parts.append(text(x + 4, 11, level[1], "soft small", "start"))
    for number, (label, group, score) in enumerate(rows):
        y = 26 + step * number
        colour = COLOURS[groups.index(group) % len(COLOURS)]
        low, mid, high = (
            left + (right - left) * min(max(v, 0.0), 1.0)
            for v in (score.low, score.value, score.high)
        )
        parts.append(_label(left, y + 4, label))
        if not math.isnan(score.low):
            bar = f'x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}"'
            parts.append(f'<line {bar} stroke="{colour}" stroke-width="3" opacity=".55"/>')
        parts.append(f'<circle cx="{mid:.1f}" cy="{y}" r="5" fill="{colour}"/>')
        parts.append(text(WIDTH - 8, y + 4, f"{100 * score.value:.1f}", "ink", "end"))
    data = Table(
        ("name", "group", *_BOUNDS),
        tuple((label, group, *_numbers(score)) for label, group, score in rows),
    )
    return Figure(name, title, about, svg(title, height, parts), data)


def _room(labels: Sequence[str]) -> int:
    """Return the width that labels on the left may take."""
    return min(_MOST_ROOM, 24 + _LETTER * max(map(len, labels), default=10))


def _label(left: float, y: float, words: str) -> str:
    """Return a label that ends left of a place; one that is too long is set closer, never cut."""
    room = left - 14
    closer = f'textLength="{room}" lengthAdjust="spacingAndGlyphs"'
    return text(left - 10, y, words, "ink", "end", closer * (_LETTER * len(words) > room))


def curves(
    name: str,
    title: str,
    about: str,
    lines: Sequence[Curve],
    axes: Axes,
) -> Figure:
    """Return curves with their intervals as bars, and a legend below."""
    left, right, top, bottom = 64, WIDTH - 16, 16, 276
    xs = [point.x for curve in lines for point in curve.points]
    x_low, x_high = min(xs), max(xs)
    y_low, y_high = _reach(lines, axes.log_y, axes.percent)
    if axes.level is not None and not axes.log_y:
        y_high = max(y_high, axes.level[0])

    def place(x: float, y: float) -> tuple[float, float]:
        y = math.log10(max(y, 1e-9)) if axes.log_y else y
        share = (x - x_low) / (x_high - x_low) if x_high > x_low else 0.5
        across = left + 14 + (right - left - 28) * share
        return across, bottom - (bottom - top) * (y - y_low) / (y_high - y_low)

    parts = []
    for value, label in _y_ticks(y_low, y_high, axes.percent, axes.log_y):
        y = bottom - (bottom - top) * (value - y_low) / (y_high - y_low)
        heavy = ' stroke-width="2.5"' if y_low < 0 and not axes.log_y and abs(value) < 1e-9 else ""
        bar = f'x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"'
        parts.append(f'<line class="grid" {bar}{heavy}/>')
        parts.append(text(left - 8, y + 4, label, "soft small", "end"))
    for value, label in axes.ticks or x_ticks(x_low, x_high):
        parts.append(text(place(value, 1)[0], bottom + 18, label, "soft small", "middle"))
    parts.append(text((left + right) / 2, bottom + 38, axes.x_label, "ink small", "middle"))
    turned = f'transform="rotate(-90 14 {(top + bottom) / 2})"'
    parts.append(text(14, (top + bottom) / 2, axes.y_label, "ink small", "middle", turned))
    if axes.level is not None:
        y = place(x_low, axes.level[0])[1]
        bar = f'x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke-dasharray="6 4"'
        parts.append(f'<line class="grid" {bar} stroke-width="2"/>')
        parts.append(text(right, y - 5, axes.level[1], "soft small", "end"))
    names = list(dict.fromkeys(curve.name for curve in lines))  # curves of one name share a colour
    for number, curve in enumerate(lines):
        colour = COLOURS[names.index(curve.name) % len(COLOURS)]
        parts += _curve(curve, colour, place, aside=_ASIDE * (number - (len(lines) - 1) / 2))
    named, height = legend(names, bottom + 58)
    data = Table(
        ("line", axes.x_label, *_BOUNDS),
        tuple(
            (curve.name, f"{point.x:g}", *_numbers(point.y))
            for curve in lines
            for point in curve.points
        ),
    )
    return Figure(name, title, about, svg(title, height, [*parts, *named]), data)


def heat_map(
    name: str,
    title: str,
    about: str,
    heads: tuple[Sequence[str], Sequence[str]],
    cells: Sequence[Sequence[Interval | None]],
) -> Figure:
    """Return a table of scores, darker where they are higher; an empty place says nothing.

    `heads` are the names of the rows and of the columns.
    """
    rows, columns = heads
    left = _room(rows)
    across = (WIDTH - 8 - left) / max(len(columns), 1)
    top, down = 34, 44
    known = [cell.value for line in cells for cell in line if cell is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)
    parts = [
        text(left + across * (place + 0.5), 20, column, "ink small", "middle")
        for place, column in enumerate(columns)
    ]
    for number, (row, line) in enumerate(zip(rows, cells, strict=True)):
        y = top + down * number
        parts.append(_label(left, y + down / 2 + 4, row))
        for place, cell in enumerate(line):
            if cell is None:
                continue
            x = left + across * place
            share = 0.5 if high == low else (cell.value - low) / (high - low)
            box = f'x="{x + 1:.1f}" y="{y + 1}" width="{across - 2:.1f}" height="{down - 2}" rx="4"'
            parts.append(f'<rect {box} fill="{COLOURS[0]}" opacity="{0.08 + 0.5 * share:.2f}"/>')
            middle = x + across / 2
            parts.append(text(middle, y + 20, f"{100 * cell.value:.1f}", "ink", "middle"))
            if across >= 70 and not math.isnan(cell.low):
                bounds = f"{100 * cell.low:.0f} to {100 * cell.high:.0f}"
                parts.append(text(middle, y + 35, bounds, "soft small", "middle"))
    height = top + down * len(rows) + 8
    data = Table(
        ("row", "column", *_BOUNDS),
        tuple(
            (row, column, *_numbers(cell))
            for row, line in zip(rows, cells, strict=True)
            for column, cell in zip(columns, line, strict=True)
            if cell is not None
        ),
    )
    return Figure(name, title, about, svg(title, height, parts), data)


def _numbers(value: Interval) -> tuple[str, ...]:
    bounds = (value.value, value.low, value.high)
    return tuple("" if math.isnan(one) else f"{one:.6g}" for one in bounds)


def _curve(
    curve: Curve,
    colour: str,
    place: Callable[[float, float], tuple[float, float]],
    aside: float = 0.0,
) -> list[str]:
    """Draw one curve; with bars it is moved aside a little, so that they do not overlap."""
    barred = any(point.y.low < point.y.high for point in curve.points)
    shift = aside if barred else 0.0
    spots = [(x + shift, y) for x, y in (place(point.x, point.y.value) for point in curve.points)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
    parts = [f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>']
    many = len(spots) > 40
    for point, (x, y) in zip(curve.points, spots, strict=True):
        if point.y.low < point.y.high:
            ends = [place(point.x, value)[1] for value in (point.y.low, point.y.high)]
            bar = f'x1="{x:.1f}" x2="{x:.1f}" y1="{ends[0]:.1f}" y2="{ends[1]:.1f}"'
            parts.append(f'<line {bar} stroke="{colour}" stroke-width="2" opacity=".5"/>')
        if not many:
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
    return parts


def _reach(lines: Sequence[Curve], log_y: bool, percent: bool) -> tuple[float, float]:
    values = [
        value
        for curve in lines
        for point in curve.points
        for value in (point.y.low, point.y.value, point.y.high)
        if not math.isnan(value)
    ]
    if log_y:
        return _log_reach(min(values), max(values))
    low, high = min(values), max(values)
    if percent and low >= 0:
        return 0.0, next((top for top in _TOPS if high <= 0.96 * top), 1.0)
    edge = max(abs(low), abs(high), 1e-6) * 1.1
    edge = math.ceil(edge * 10) / 10 if percent else edge
    return (-edge, edge) if low < 0 else (0.0, edge)


def _log_reach(low: float, high: float) -> tuple[float, float]:
    """Return the logarithms of the round numbers (1, 2 or 5 times a power) around two values.

    >>> [round(10**one, 6) for one in _log_reach(3.7, 6.8)]
    [2.0, 10.0]
    """
    low, high = max(low, 1e-9), max(high, 1e-9)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 2)
    marks = [m * 10.0**power for power in powers for m in (1, 2, 5)]
    below = max(mark for mark in marks if mark <= low * (1 + 1e-9))
    above = min(mark for mark in marks if mark >= high * (1 - 1e-9) and mark > below)
    return math.log10(below), math.log10(above)


def _y_ticks(low: float, high: float, percent: bool, log_y: bool) -> list[tuple[float, str]]:
    if log_y:
        marks = [
            m * 10.0**p for p in range(math.floor(low), math.ceil(high) + 1) for m in (1, 2, 5)
        ]
        logs = [(math.log10(mark), f"{mark:g}") for mark in marks]
        if high - low > 2:
            logs = [(value, label) for value, label in logs if value == round(value)]
        return [(value, label) for value, label in logs if low - 1e-9 <= value <= high + 1e-9]
    steps = 4 if low < 0 else 5  # four steps put zero on a line
    values = [low + (high - low) * part / steps for part in range(steps + 1)]
    if percent:
        return [(value, f"{100 * value:.0f} %") for value in values]
    return [(value, f"{value:.3g}") for value in values]


def x_ticks(low: float, high: float, most: int = 6) -> list[tuple[float, str]]:
    """Return round numbers between two bounds, about so many at most, with their names."""
    if low == high:
        return [(low, f"{low:g}")]
    step = 10 ** math.floor(math.log10(high - low))
    step = next(
        s for s in (step / 5, step / 2, step, 2 * step, 5 * step) if (high - low) / s <= most
    )
    first = math.ceil(low / step)
    return [(n * step, f"{n * step:g}") for n in range(first, math.floor(high / step) + 1)]


def legend(names: Sequence[str], y: float) -> tuple[list[str], int]:
    """Return a legend that begins at a height, and the height that a picture has with it."""
    parts, x = [], 64.0
    for number, name in enumerate(names):
        width = 30 + 7.2 * len(name)
        if x + width > WIDTH and x > 64:
            x, y = 64.0, y + 22
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<rect x="{x}" y="{y - 9}" width="12" height="12" rx="3" fill="{colour}"/>')
        parts.append(text(x + 18, y + 1, name, "ink small", "start"))
        x += width
    return parts, int(y + 14)
