"""Fill in README.md's tables from what is packaged.

.venv/bin/python tools/readme_tables.py          # writes README.md
.venv/bin/python tools/readme_tables.py --check  # exits 1 if it would change
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from cotdistill.cli.main import VERBS
from cotdistill.studies.listing import TABLES
from cotdistill.tables import Table, markdown_of

README = Path(__file__).resolve().parents[1] / "README.md"
_SLOT = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table_of(name: str) -> Table:
    """Return one of README's tables; registered local files are left to `cotdistill list`."""
    if name == "verbs":
        return Table(("verb", "what it does"), tuple((f"`{v}`", t) for v, (_, t) in VERBS.items()))
    table = TABLES[name]()
    if name == "datasets":
        rows = tuple(row for row in table.rows if not row[1].startswith("file "))
        return Table(table.columns, rows)
    return table


def filled(text: str) -> str:
    """Return README's text with every table as it is now."""
    return _SLOT.sub(lambda slot: f"{slot[1]}{markdown_of(table_of(slot[2]))}\n{slot[3]}", text)


def main(arguments: list[str]) -> int:
    """Write README.md, or with --check only say whether it is up to date."""
    now = README.read_text(encoding="utf-8")
    want = filled(now)
    if "--check" in arguments:
        return int(now != want)
    README.write_text(want, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
