"""Tables on stdout: drawn on a terminal, aligned text in a pipe."""

from __future__ import annotations

import sys

from cotdistill.work.table import Table


def show_table(table: Table) -> None:
    """Print a table on stdout: drawn on a terminal, tab-separated lines in a pipe."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table as Drawn

        drawn = Drawn(*table.columns, header_style="bold")
        for column in drawn.columns[1:]:
            column.no_wrap = False
        for row in table.rows:
            drawn.add_row(*map(escape, row))
        console = Console()
        console.print(drawn)
        for note in table.notes:
            console.print(note, style="dim", markup=False, highlight=False)
        return
    widths = [max(map(len, cells)) for cells in zip(table.columns, *table.rows, strict=True)]
    for row in (table.columns, *table.rows):
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write("  ".join(padded).rstrip() + "\n")
    for note in table.notes:
        sys.stdout.write(f"{note}\n")
