"""Evaluates one tree in multi-precision arithmetic, refusing whatever would grow out of bounds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any

from cotdistill.grading.equivalence.tree import Node, TooBigError

_MOST_TERMS = 400
_LARGEST_LOG = 10**9  # of a value, in bits
_LARGEST_ARGUMENT = 10**6  # of a factorial or binomial
_COST = {"factorial": 60, "double factorial": 90, "binomial": 120, "log": 12, "big": 5}
_SAME = ("sin", "cos", "tan", "sec", "csc", "cot", "sinh", "cosh", "tanh")
_ARCS = {"arcsin": "asin", "arccos": "acos", "arctan": "atan", "arccot": "acot",
         "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh"}  # fmt: skip


class UndefinedError(ArithmeticError):
    """The expression has no (real) value here, or holds something that has no number."""


@lru_cache(maxsize=1)
def _warmed() -> bool:
    """Fill mpmath's memo of constants once, so that no later call changes it under a thread."""
    ctx = _new_context(220)
    return bool(ctx.pi * ctx.e * ctx.log(2) * ctx.log(10) + ctx.euler > 0)


def _new_context(digits: int) -> Any:
    # imported late: light, but only needed past the exact tier
    from mpmath.ctx_mp import MPContext  # type: ignore[import-untyped]

    ctx = MPContext()
    ctx.dps = digits
    return ctx


_CONTEXTS = threading.local()  # making one takes longer than most evaluations
_MOST_CONTEXTS = 8


def context(digits: int) -> Any:
    """Return this thread's multi-precision context; mpmath's shared one is not safe in threads."""
    _warmed()
    kept: dict[str, Any] = _CONTEXTS.__dict__
    name = str(digits)
    found = kept.get(name)
    if found is None:
        if len(kept) >= _MOST_CONTEXTS:
            kept.clear()
        found = kept[name] = _new_context(digits)
    found.dps = digits  # whatever an evaluation that was broken off has left behind
    return found


class Evaluator:
    """Values of trees at one point; `peak` is the largest size met, which tells the noise."""

    def __init__(
        self, ctx: Any, at: Mapping[str, Fraction], *, real: bool, spend: Callable[[int], None]
    ) -> None:
        self.ctx = ctx
        self.at = {name: self.fraction(value) for name, value in at.items()}
        self.real = real
        self.spend = spend
        self.peak: Any = self.ctx.mpf(0)

    def fraction(self, value: Fraction) -> Any:
        """Write an exact value as a multi-precision number."""
        return self.ctx.mpf(value.numerator) / value.denominator

    def value(self, node: Node) -> Any:
        """Evaluate a tree.

        Raises:
            UndefinedError: it has no value here.
            TooBigError: it passes a bound.
        """
        self.spend(_COST.get(node.name, _COST.get(node.head, 1)))
        try:
            found = self._value(node)
        except (ZeroDivisionError, ValueError, OverflowError, TypeError) as wrong:
            raise UndefinedError(str(wrong)) from wrong
        if not self.ctx.isfinite(found):
            raise UndefinedError("no finite value")
        if getattr(found, "imag", 0) and self.real:
            raise UndefinedError("not real")
        size = abs(found)
        if size > self.peak:
            self.peak = size
        if size and abs(self.ctx.mag(size)) > _LARGEST_LOG:
            raise TooBigError("too big a value")
        return found

    def _value(self, node: Node) -> Any:
        head, ctx = node.head, self.ctx
        if head in ("num", "dec") and node.number is not None:
            return self.fraction(node.number)
        if head == "sym":
            if node.name not in self.at:
                raise UndefinedError(f"no value for {node.name}")
            return self.at[node.name]
        if head == "const":
            return self.constant(node.name)
        if head == "big":
            return self.summed(node)
        args = [self.value(part) for part in node.args]
        if head == "div":
            self.refuse_hidden_zero(node.args[1])
        if head == "pow" and self.ctx.re(args[1]) < 0:
            self.refuse_hidden_zero(node.args[0])
        if head == "add":
            return ctx.fsum(args)
        if head == "mul":
            return ctx.fprod(args)
        if head == "div":
            return args[0] / args[1]
        if head == "pow":
            return self.power(args[0], args[1])
        if head == "root":
            return self.root(args[0], args[1])
        if head == "percent":
            return args[0] / 100
        if head == "degree":
            return args[0] * ctx.pi / 180
        if head == "ratio" and len(args) == 2:
            return args[0] / args[1]
        if head == "fn":
            return self.function(node.name, args)
        raise UndefinedError(f"{head} has no number")

    def refuse_hidden_zero(self, node: Node) -> None:
        """Refuse to divide by what is 0 but for rounding, as 1/sin(pi) would."""
        if not node.args or node.head in ("num", "dec"):
            return
        kept, self.peak = self.peak, self.ctx.mpf(0)
        size = abs(self.value(node))
        if size <= self.peak * self.ctx.mpf(10) ** (10 - self.ctx.dps):
            raise UndefinedError("divided by nothing")
        self.peak = max(kept, self.peak)

    def constant(self, name: str) -> Any:
        """Give pi, e or i."""
        if name == "pi":
            return +self.ctx.pi
        if name == "e":
            return +self.ctx.e
        if name == "i":
            return self.ctx.mpc(0, 1)
        raise UndefinedError(f"{name} has no number")

    def power(self, base: Any, exponent: Any) -> Any:
        """Raise to a power whose size is known beforehand to be bearable."""
        ctx = self.ctx
        if base == 0 and ctx.re(exponent) <= 0:
            raise UndefinedError("0 to a power of 0 or less")
        if base != 0:
            grown = abs(ctx.mag(base) or 1) * abs(exponent)
            if grown > _LARGEST_LOG:
                raise TooBigError("too big a power")
        near = self.whole(exponent)
        return base**near if near is not None else ctx.power(base, exponent)

    def root(self, base: Any, index: Any) -> Any:
        """Take a root; an odd root of a negative number is real."""
        degree = self.whole(index)
        if degree is not None and degree % 2 and self.real and base < 0:
            return -self.power(-base, self.ctx.mpf(1) / degree)
        return self.ctx.sqrt(base) if degree == 2 else self.power(base, 1 / index)

    def whole(self, value: Any) -> int | None:
        """Give the integer that a value is, up to rounding; None where it is none."""
        ctx = self.ctx
        if getattr(value, "imag", 0) or abs(value) > 10**30:
            return None
        near = int(ctx.nint(ctx.re(value)))
        return (
            near
            if abs(value - near) <= ctx.mpf(10) ** (10 - ctx.dps) * max(1, abs(value))
            else None
        )

    def function(self, name: str, args: list[Any]) -> Any:
        """Apply a named function."""
        ctx, first = self.ctx, args[0]
        if name in ("exp", "sinh", "cosh") and abs(first) > _LARGEST_LOG:
            raise TooBigError("too big an exponent")
        if name in _SAME or name == "exp":
            if ctx.mag(first) > 200:
                raise TooBigError("too big an angle")
            return getattr(ctx, name)(first)
        if name in _ARCS:
            return getattr(ctx, _ARCS[name])(first)
        if name in ("log", "ln"):
            return ctx.log(first) if len(args) == 1 else ctx.log(first) / ctx.log(args[1])
        if name == "abs":
            return abs(first)
        if name in ("max", "min"):
            return max(args) if name == "max" else min(args)
        if name in ("floor", "ceil"):
            near = self.whole(first)
            return (
                ctx.mpf(near)
                if near is not None
                else (ctx.floor if name == "floor" else ctx.ceil)(first)
            )
        if name == "mod":
            return first - args[1] * self.function("floor", [first / args[1]])
        if name in ("factorial", "double factorial", "binomial"):
            if max(abs(arg) for arg in args) > _LARGEST_ARGUMENT:
                raise TooBigError("too big a factorial")
            if name == "double factorial":
                return ctx.fac2(first)
            return ctx.factorial(first) if name == "factorial" else ctx.binomial(first, args[1])
        if name in ("gcd", "lcm"):
            return self.shared(name, args)
        raise UndefinedError(f"{name} has no number")

    def shared(self, name: str, args: list[Any]) -> Any:
        """Take the greatest common divisor or least common multiple of whole values."""
        import math

        numbers = [self.whole(arg) for arg in args]
        known = [number for number in numbers if number is not None]
        if len(known) < len(numbers):
            raise UndefinedError("not whole")
        return self.ctx.mpf(math.gcd(*known) if name == "gcd" else math.lcm(*known))

    def summed(self, node: Node) -> Any:
        """Add or multiply the terms of a sum or product whose bounds are whole and near."""
        if node.name not in ("sum", "prod") or len(node.args) != 3:
            raise UndefinedError("needs the symbolic tier")
        body, low, high = node.args
        if low.head != "chain" or low.name != "=" or low.args[0].head != "sym":
            raise UndefinedError("a sum without a first term")
        start, stop = (self.whole(self.value(part)) for part in (low.args[1], high))
        if start is None or stop is None:
            raise UndefinedError("not whole")
        if stop - start > _MOST_TERMS:
            raise TooBigError("too many terms")
        name, kept = low.args[0].name, dict(self.at)
        total = self.ctx.mpf(int(node.name == "prod"))
        for turn in range(start, stop + 1):
            self.at[name] = self.ctx.mpf(turn)
            term = self.value(body)
            total = total + term if node.name == "sum" else total * term
        self.at = kept
        return total
