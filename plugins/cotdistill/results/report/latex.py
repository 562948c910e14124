"""The table of a paper: students × arms × tasks in LaTeX, for booktabs."""

from __future__ import annotations

from collections.abc import Mapping

from cotdistill.results.groups import Group
from cotdistill.results.matrix import Cell, Matrix, file_name

_ARROWS = {"▲": r"\uparrow", "▼": r"\downarrow", "": ""}


def as_latex(table: Matrix, caption: str, name: str = "results") -> str:
    r"""Return the table for a paper (needs booktabs): score, bounds below and above, marks.

    The best score of each student, recipe and task is bold; `name` makes the label `tab:NAME`.
    """
    heads = ["student", "arm", *(["recipe"] if table.several_recipes else []), *table.tasks]
    means = any(table.mean(group) is not None for group in table.groups)
    columns = "l" * (len(heads) - len(table.tasks)) + "r" * (len(table.tasks) + means)
    verdicts = "" if table.source == "run" else f" ({table.source} verdicts)"
    best = _best(table)
    within = "student and recipe" if _by_recipe(table) else "student"
    lines = [
        *(f"% {' '.join(note.split())}" for note in table.notes),
        r"\begin{table}",
        rf"\caption{{{_tex(caption)}{verdicts}. Score in \%, with 95\,\% interval; bold: the "
        rf"highest of a {within}; $\uparrow$ and $\downarrow$ differ from "
        rf"{_tex(table.baseline)} ({_test_of(table)}, Holm, $p < 0.05$).}}",
        rf"\label{{tab:{file_name(name) or 'results'}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(map(_tex, heads)) + (" & mean" if means else "") + r" \\",
        r"\midrule",
    ]
    student = None
    for group in table.groups:
        if student not in (None, group[0]):
            lines.append(r"\midrule")
        names = [group[0] if group[0] != student else "", group[1]]
        names += [group[2]] if table.several_recipes else []
        student = group[0]
        block = _block(table, group)
        cells = [
            _tex_cell(table.cells.get((group, task)), best.get((block, task)))
            for task in table.tasks
        ]
        mean = table.mean(group)
        if means:
            marked = table.mean_differences.get(group)
            arrow = _ARROWS[marked.mark if marked else ""]
            cells.append(
                "--"
                if mean is None
                else f"${_bold(f'{100 * mean:.1f}', mean == best.get((block, '')))}{arrow}$"
            )
        lines.append(" & ".join([*map(_tex, names), *cells]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _best(table: Matrix) -> Mapping[tuple[tuple[str, str], str], float]:
    """Return the highest score of each student and recipe, by task; of the mean by an empty one."""
    found: dict[tuple[tuple[str, str], str], list[float]] = {}
    for group in table.groups:
        block = _block(table, group)
        for task in table.tasks:
            cell = table.cells.get((group, task))
            if cell is not None:
                found.setdefault((block, task), []).append(cell.score.value)
        mean = table.mean(group)
        if mean is not None:
            found.setdefault((block, ""), []).append(mean)
    return {place: max(values) for place, values in found.items() if len(values) > 1}


def _block(table: Matrix, group: Group) -> tuple[str, str]:
    return group[0], group[2] if _by_recipe(table) else ""


def _by_recipe(table: Matrix) -> bool:
    """Whether the best is looked for within a recipe: not where recipes are what is compared."""
    return table.several_recipes and not table.across_recipes


def _test_of(table: Matrix) -> str:
    claims = {one.compared.claim for one in table.differences}
    if claims == {"models"}:
        return "one seed an arm, so no arm is marked"
    return "crossed t test over questions and training runs"


def _tex_cell(cell: Cell | None, best: float | None) -> str:
    if cell is None:
        return "--"
    mark = _ARROWS[cell.mark]
    value, low, high = (
        f"{100 * bound:.1f}" for bound in (cell.score.value, cell.score.low, cell.score.high)
    )
    bounds = "" if cell.score.low != cell.score.low else f"^{{{high}}}_{{{low}}}"
    return f"${_bold(value, cell.score.value == best)}{bounds}{mark}$"


def _bold(value: str, wanted: bool) -> str:
    return rf"\mathbf{{{value}}}" if wanted else value


def _tex(text: str) -> str:
    escapes = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    escapes |= {character: f"\\{character}" for character in "&%$#_{}"}
    return "".join(escapes.get(character, character) for character in text)
