"""Equations of symbolic rationales: what is wrong is found, and what cannot be known is left."""

from __future__ import annotations

import pytest

from cotdistill.teach.equations import wrong_equation


@pytest.mark.parametrize(
    "text",
    [
        "t = 3\nb = 4\nn = t + b = 7",
        "p = 1,200\nq = p / 3 = 400 dollars",
        "x + 3 = 7\nx = 7 - 3 = 4",
        "r = 10 / 3 = 3.33",
        "a = 0.2 × 50 = 10",
        "n = 5\nn = n + 1 = 6",
        "speed = distance / time\nspeed = 60",
        "a: t = 2, b = 3\nb: s = t * b = 6.",
        "n = 7 / 0",
        "m = 2n = 12",
        "x = y",
        "3 feet = 36 inches",
        "w = 3 feet = 36 inches",
        "r = 3:4 = 0.75",
        "t = 6 (trays)\nb = 4 (buns on each)\nn = t * b = 24 (buns)",
        "n = 2 * (3 + 4) = 14",
        "",
    ],
)
def test_what_holds_or_cannot_be_worked_out_is_passed_over(text: str) -> None:
    assert wrong_equation(text) == ""


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("t = 3\nb = 4\nn = t + b = 9", "n = t + b = 9"),
        ("3 + 4 = 8", "3 + 4 = 8"),
        ("t = 6 (trays)\nb = 4 (buns on each)\nn = t * b = 25", "n = t * b = 25"),
        ("Step 1: t = 6\nStep 2: n = t + 1 = 8", "n = t + 1 = 8"),
        ("1. n = 12 / 4 = 4 pens", "n = 12 / 4 = 4 pens"),
        ("r = 10 / 3 = 3.5", "r = 10 / 3 = 3.5"),
        ("n = 5\nn = n + 1 = 7", "n = n + 1 = 7"),
    ],
)
def test_an_equation_that_does_not_hold_is_named(text: str, wrong: str) -> None:
    assert wrong_equation(text).endswith(wrong)


@pytest.mark.parametrize(
    "text",
    ["n = " + "(" * 90 + "1" + ")" * 90, "n = " + "9*" * 99 + "9", "n = 9**9**9**9 = 3",
     "\n".join(f"a{n} = a{n - 1} * 99999999999" for n in range(5000)),
     "a = __import__('os').system('false') = 3", "=" * 100_000, "n = 1e99999 = 2", "n = 10**9 = 1"],
)  # fmt: skip
def test_hostile_texts_are_passed_over(text: str) -> None:
    assert wrong_equation(text) == ""
