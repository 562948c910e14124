"""The process behind the symbolic tier: reads trees from stdin, asks sympy, writes verdicts.

Run as a script, so that it needs nothing but sympy. It builds expressions from our own trees,
node by node; no text ever reaches sympy's parsers. Its memory is limited by itself, its time by
the parent, which kills it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

MOST_MEMORY = 150 * 2**20  # of data, in bytes
_MOST_POWER = 300
_FUNCTIONS = {
    "sin": "sin", "cos": "cos", "tan": "tan", "cot": "cot", "sec": "sec", "csc": "csc",
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arccot": "acot", "sinh": "sinh",
    "cosh": "cosh", "tanh": "tanh", "exp": "exp", "log": "log", "ln": "log", "abs": "Abs",
    "floor": "floor", "ceil": "ceiling",
    "factorial": "factorial", "binomial": "binomial", "max": "Max", "min": "Min",
}  # fmt: skip
_BIG = ("sum", "prod", "int", "lim", "derivative")


class UnfitError(ValueError):
    """A tree that sympy is not asked about."""


def build(tree: list[Any], sympy: Any) -> Any:
    """Build a sympy expression from a tree written as [head, name, number, parts]."""
    head, name, number, parts = tree
    if head in ("num", "dec"):
        top, _, bottom = number.partition("/")
        return sympy.Rational(int(top), int(bottom or 1))
    if head == "sym":
        return sympy.Symbol(name)
    if head == "const":
        return {"pi": sympy.pi, "e": sympy.E, "i": sympy.I, "inf": sympy.oo}[name]
    if head == "big":
        return _big(name, parts, sympy)
    args = [build(part, sympy) for part in parts]
    if head == "add":
        return sympy.Add(*args)
    if head == "mul":
        return sympy.Mul(*args)
    if head == "div":
        return args[0] / args[1]
    if head == "pow":
        if args[1].is_number and (args[1].has(sympy.Pow) or abs(args[1]) > _MOST_POWER):
            raise UnfitError("too big a power")
        return args[0] ** args[1]
    if head == "root":
        return sympy.root(args[0], args[1])
    if head == "fn" and name in _FUNCTIONS:
        if name in ("factorial", "binomial") and any(
            arg.is_number and arg > _MOST_POWER for arg in args
        ):
            raise UnfitError("too big a factorial")
        return getattr(sympy, _FUNCTIONS[name])(*args)
    raise UnfitError(head)


def _big(name: str, parts: list[Any], sympy: Any) -> Any:
    body = parts[0]
    if name == "derivative":
        return sympy.diff(build(body, sympy), build(parts[1], sympy))
    if name == "int":
        body, variable = _differential(body)
        if len(parts) != 3:
            raise UnfitError("an integral without bounds")
        low, high = (build(part, sympy) for part in parts[1:])
        return sympy.integrate(build(body, sympy), (sympy.Symbol(variable), low, high))
    if name == "lim" and len(parts) == 2:
        variable, end = _limit(parts[1])
        return sympy.limit(build(body, sympy), sympy.Symbol(variable), build(end, sympy))
    if name in ("sum", "prod") and len(parts) == 3 and parts[1][0] == "chain":
        index, low = parts[1][3]
        bounds = (build(index, sympy), build(low, sympy), build(parts[2], sympy))
        found = sympy.summation if name == "sum" else sympy.product
        return found(build(body, sympy), bounds)
    raise UnfitError(name)


def _differential(body: list[Any]) -> tuple[list[Any], str]:
    """Take `d x` off the end of an integrand."""
    if body[0] == "mul" and body[3][1][0] == "sym" and body[3][0][0] == "mul":
        inner, variable = body[3]
        if inner[3][1][:2] == ["sym", "d"]:
            return inner[3][0], variable[1]
    if body[0] == "mul" and body[3][0][:2] == ["sym", "d"] and body[3][1][0] == "sym":
        return ["num", "1", "1", []], body[3][1][1]
    raise UnfitError("an integral without a differential")


def _limit(bound: list[Any]) -> tuple[str, list[Any]]:
    r"""Read `x \to 0`, which the parser leaves as a product around the arrow."""
    head, _, _, parts = bound
    if head == "mul" and parts[0][0] == "mul" and parts[0][3][1][1] in ("\\to", "\\rightarrow"):
        return parts[0][3][0][1], parts[1]
    raise UnfitError("a limit of nothing")


def verdict(a: list[Any], b: list[Any], sympy: Any) -> bool | None:
    """Say whether two trees are equal; None where sympy cannot tell."""
    gap = build(a, sympy) - build(b, sympy)
    if gap == 0:
        return True
    if gap.has(
        *(getattr(sympy, name) for name in ("Integral", "Limit", "Sum", "Product", "nan", "zoo"))
    ):
        return None
    gap = sympy.simplify(gap)
    if gap == 0:
        return True
    if gap.is_number:
        return bool(abs(gap.evalf(30)) < 1e-20)
    points = {
        symbol: sympy.Rational(7 * at + 5, 11)
        for at, symbol in enumerate(sorted(gap.free_symbols, key=str), 1)
    }
    return False if abs(gap.subs(points).evalf(30)) > 1e-15 else None


def serve() -> None:
    """Answer one JSON line with another until the parent closes the pipe."""
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
    import sympy  # type: ignore[import-untyped]

    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        said: bool | None = None
        try:
            a, b = json.loads(line)
            said = verdict(a, b, sympy)
        except Exception:  # whatever sympy raises means that it cannot tell
            said = None
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
