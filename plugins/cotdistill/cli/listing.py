"""`list` and `path`: show what is packaged."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import Annotated, cast

import typer

from cotdistill.errors import MisuseError, did_you_mean
from cotdistill.files.bundle import FOLDERS, Folder


def path(
    part: Annotated[
        str | None, typer.Argument(help="task_configs, dataset_info, templates or studies")
    ] = None,
) -> None:
    """Print the folder of a packaged part, for --include_path or dataset_dir.

    With bundles besides ours: for tasks and datasets, one folder that holds those of all bundles;
    for templates and studies, the folder of each bundle, one per line.

    Example:
        lm_eval --include_path "$(cotdistill path task_configs)" --tasks AIME,AMC
    """
    from cotdistill.catalogue.host_folders import host_folders

    if part is None:
        raise MisuseError(f"cotdistill path: which part? {', '.join(FOLDERS)}")
    if part not in FOLDERS:
        raise MisuseError(f"cotdistill path: no part '{part}'; {did_you_mean(part, FOLDERS)}")
    sys.stdout.write("".join(f"{each}\n" for each in host_folders(cast(Folder, part))))


def list_(
    what: Annotated[
        str | None, typer.Argument(help="studies, datasets, benchmarks, tasks ...")
    ] = None,
    word: Annotated[str, typer.Argument(help="only rows that hold this word")] = "",
    markdown: Annotated[bool, typer.Option("--markdown", help="print a Markdown table")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print a list of JSON objects")] = False,
) -> None:
    """List studies, datasets, benchmarks, tasks, templates, students or bundles.

    Where something is not ours, the column 'bundle' says whose it is.

    Example:
        cotdistill list students
        cotdistill list tasks gsm8k
    """
    from cotdistill.cli.tables import show_table
    from cotdistill.studies.listing import TABLES
    from cotdistill.tables import markdown_of

    if what is None:
        raise MisuseError(f"cotdistill list: what? {', '.join(TABLES)}")
    if what not in TABLES:
        hint = did_you_mean(what, list(TABLES))
        raise MisuseError(f"cotdistill list: nothing called '{what}'; {hint}")
    table = TABLES[what]()
    rows = [row for row in table.rows if word.lower() in "\n".join(row).lower()]
    table = replace(table, rows=tuple(rows))
    if word and not rows:
        raise MisuseError(f"cotdistill list {what}: no row holds '{word}'")
    if as_json:
        objects = [dict(zip(table.columns, row, strict=True)) for row in rows]
        sys.stdout.write(json.dumps(objects, indent=2, ensure_ascii=False) + "\n")
    elif markdown:
        sys.stdout.write(markdown_of(table) + "\n")
    else:
        show_table(table)
