"""The process behind the symbolic tier: reads trees from stdin, asks sympy, writes verdicts.

Run as a script, so that it needs nothing but sympy. It builds expressions from our own trees,
node by node; no text ever reaches sympy's parsers. It limits itself in memory, and each pair in
CPU time, so that a verdict does not depend on what else the machine is doing. After a pair that ran
out of time the process ends: what sympy left half done must not decide the next pair.
"""

from __future__ import annotations

import json
import signal
import sys
import time
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
_UNEVALUATED = ("Integral", "Limit", "Sum", "Product", "nan", "zoo")
_EQUAL_BELOW = 1e-20  # of a difference evaluated to 30 digits
_DIFFERENT_ABOVE = 1e-15
_ENOUGH = 3  # points without a difference that make two expressions equal


class UnfitError(ValueError):
    """A tree that sympy is not given."""


class OutOfTimeError(BaseException):
    """The pair's CPU time is used up; not an `Exception`, which sympy might catch."""


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
        evaluate = sympy.summation if name == "sum" else sympy.product
        return evaluate(build(body, sympy), bounds)
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
    r"""Read `x \to 0`."""
    head, name, _, parts = bound
    if head == "chain" and name == "to" and parts[0][0] == "sym":
        return parts[0][1], parts[1]
    raise UnfitError("a limit of nothing")


def verdict(a: list[Any], b: list[Any], sympy: Any) -> bool | None:
    """Decide whether two trees are equal; None where sympy cannot tell.

    Sympy works the integrals, limits and sums out; what is left is compared at fixed points.
    """
    gap = build(a, sympy) - build(b, sympy)
    if gap == 0:
        return True
    if gap.has(*(getattr(sympy, name) for name in _UNEVALUATED)):
        return None
    symbols = sorted(gap.free_symbols, key=str)
    agreed = 0
    for turn in range(2 * _ENOUGH):
        point = {
            symbol: sympy.Rational(7 * at + 5 * turn + 5, 11 + turn)
            for at, symbol in enumerate(symbols, 1)
        }
        size = sympy.Abs(gap.subs(point)).evalf(30)
        if not size.is_number or not size.is_finite:
            continue
        if size > _DIFFERENT_ABOVE:
            return False
        agreed += bool(size < _EQUAL_BELOW)
        if agreed == (_ENOUGH if symbols else 1):
            return True
    return None


def _out_of_time(_signal: int, _frame: object) -> None:
    raise OutOfTimeError


def answer(line: str, sympy: Any) -> str:
    """Answer `[tree, tree, CPU seconds]` with a verdict and the CPU seconds that it took.

    The verdict is `true`, `false`, `null` where sympy cannot tell, or `timeout`.
    """
    start = time.process_time()
    try:
        a, b, seconds = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            found = json.dumps(verdict(a, b, sympy))
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except OutOfTimeError:
        found = "timeout"
    except Exception:  # whatever sympy raises means that it cannot tell
        found = "null"
    return f"{found} {time.process_time() - start:.3f}"


def serve() -> None:
    """Answer pairs, a line each, until the parent closes the pipe or a pair runs out of time."""
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
    import sympy  # type: ignore[import-untyped]

    signal.signal(signal.SIGPROF, _out_of_time)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        reply = answer(line, sympy)
        sys.stdout.write(reply + "\n")
        sys.stdout.flush()
        if reply.startswith("timeout"):
            return


if __name__ == "__main__":
    serve()
