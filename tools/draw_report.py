"""Draw the scores of a run folder as bars with their intervals, for the README.

    cotdistill report runs/quickstart
    python tools/draw_report.py runs/quickstart/report/report.csv docs/quickstart.svg --chance 0.25

Only the standard library; the same CSV gives the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import html
from pathlib import Path

LABEL, PLOT, NUMBERS, ROW, TOP, BELOW = 130, 380, 190, 34, 44, 34
INK, QUIET, BAR = "#1f2328", "#59636e", "#4c8dd6"


def picture(
    rows: list[dict[str, str]], title: str, chance: float | None = None, most: float = 1.0
) -> str:
    """Return an SVG with one bar a row; scores are fractions, and the axis ends at `most`."""
    width, height = LABEL + PLOT + NUMBERS, TOP + ROW * len(rows) + BELOW
    bottom = TOP + ROW * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif" font-size="13" '
        f'fill="{INK}" role="img">',
        f"<title>{html.escape(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="12" y="24" font-size="15" font-weight="600">{html.escape(title)}</text>',
    ]
    scale = PLOT / most
    for percent in (0, 25 * most, 50 * most, 75 * most, 100 * most):
        x = LABEL + scale * percent / 100
        parts.append(f'<path d="M{x:g} {TOP}V{bottom}" stroke="#d1d9e0"/>')
        parts.append(_text(x, bottom + 17, f"{percent:g} %", QUIET, "middle"))
    if chance is not None:
        x = LABEL + scale * chance
        parts.append(
            f'<path d="M{x:g} {TOP}V{bottom}" stroke="{QUIET}" stroke-dasharray="4 3"/>'
            + _text(x + 4, bottom + 30, "chance", QUIET, "start")
        )
    for place, row in enumerate(rows):
        score, low, high = (float(row[name]) for name in ("score", "low", "high"))
        middle = TOP + ROW * place + ROW / 2
        left, right = LABEL + scale * low, LABEL + scale * high
        parts += [
            _text(LABEL - 10, middle + 4, row["arm"], INK, "end"),
            f'<rect x="{LABEL}" y="{middle - 9:g}" width="{scale * score:.1f}" height="18" '
            f'fill="{BAR}"/>',
            f'<path d="M{left:.1f} {middle - 5:g}v10m0-5H{right:.1f}m0-5v10" stroke="{INK}" '
            'stroke-width="1.5" fill="none"/>',
            _text(
                LABEL + PLOT + 14,
                middle + 4,
                f"{100 * score:.1f} %  [{100 * low:.1f}, {100 * high:.1f}]",
                INK,
                "start",
            ),
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _text(x: float, y: float, text: str, colour: str, anchor: str) -> str:
    escaped = html.escape(text)
    return f'<text x="{x:g}" y="{y:g}" fill="{colour}" text-anchor="{anchor}">{escaped}</text>'


def main() -> None:
    """Read a report's CSV and write the picture."""
    parser = argparse.ArgumentParser(description="Draw a report's scores with their intervals.")
    parser.add_argument("report", type=Path, help="RUN/report/report.csv")
    parser.add_argument("svg", type=Path, help="the picture to write")
    parser.add_argument("--title", default="Correct answers, with 95 % confidence intervals")
    parser.add_argument("--chance", type=float, help="what guessing would reach, a fraction")
    given = parser.parse_args()
    with given.report.open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row.get("score")]
    if not rows:
        parser.error(f"{given.report} holds no score")
    given.svg.parent.mkdir(parents=True, exist_ok=True)
    given.svg.write_text(picture(rows, given.title, given.chance), encoding="utf-8")


if __name__ == "__main__":
    main()
