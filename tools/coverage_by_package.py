"""Print the coverage of each package as a table, from the data that `make coverage` measured.

python tools/coverage_by_package.py coverage.json
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

PACKAGE = "plugins/cotdistill/"


def table(report: dict[str, dict[str, dict[str, dict[str, int]]]]) -> str:
    """Return the Markdown table of lines and covered lines, by package."""
    lines: dict[str, int] = defaultdict(int)
    covered: dict[str, int] = defaultdict(int)
    for path, measured in report["files"].items():
        inside = path.partition(PACKAGE)[2]
        name = inside.split("/")[0] if "/" in inside else "(modules)"
        for group in (name, "all"):
            lines[group] += measured["summary"]["num_statements"]
            covered[group] += measured["summary"]["covered_lines"]
    rows = sorted(lines, key=lambda name: (name == "all", name))
    cells = [
        f"| {name} | {lines[name]:,} | {100 * covered[name] / max(lines[name], 1):.1f} % |"
        for name in rows
    ]
    return "\n".join(["| package | statements | covered |", "|---|--:|--:|", *cells])


if __name__ == "__main__":
    sys.stdout.write(table(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))) + "\n")
