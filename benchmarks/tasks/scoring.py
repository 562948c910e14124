"""Seconds to score 1,000 responses: our hook next to upstream's `minerva_math500` and `gsm8k`.

    python benchmarks/tasks/scoring.py

The same responses for both: made here from simple templates over golds of the kinds that the two
benchmarks have. Upstream's code is called as lm-eval calls it: `minerva_math` by its
`process_results` (which needs lm-eval's `math` extra), `gsm8k` by its two regex filters and
exact_match. The share scored right is printed too: all responses are right or wrong by making.
"""

from __future__ import annotations

import importlib
import random
import re
import time
from collections.abc import Callable
from typing import Any

from cotdistill.benchmarks.hooks import grade_responses

THOUGHT = "First we look at the numbers. Then {a} + {b} = {c}, so we go on from there. "
MATHS = [r"\frac{3}{4}", r"2\sqrt{5}", "17", r"\left(3, \frac{\pi}{2}\right)", "x^2 + 2x + 1",
         r"\frac{\pi}{6}", "1,200", r"[0, \infty)", "0.25", r"-\frac{1}{2}"]  # fmt: skip
ENDINGS = ["The final answer is $\\boxed{{{}}}$.", "So \\boxed{{{}}}.", "The answer is ${}$."]


def responses(golds: list[str], count: int) -> list[tuple[str, str, bool]]:
    """Response, gold, and whether it is right; about four in five are."""
    chance = random.Random(1)
    made = []
    for number in range(count):
        gold = golds[number % len(golds)]
        right = chance.random() < 0.8
        answer = gold if right else chance.choice([g for g in golds if g != gold])
        thought = "".join(THOUGHT.format(a=n, b=n + 1, c=2 * n + 1) for n in range(12))
        made.append((thought + ENDINGS[number % len(ENDINGS)].format(answer), gold, right))
    return made


def timed(
    score: Callable[[str, str], bool], made: list[tuple[str, str, bool]]
) -> tuple[float, float]:
    """CPU seconds, and the share of verdicts that are right."""
    score(made[0][0], made[0][1])  # imports are not scoring
    began = time.process_time()
    verdicts = [score(response, gold) for response, gold, _ in made]
    spent = time.process_time() - began
    return spent, sum(v == right for v, (_, _, right) in zip(verdicts, made, strict=True)) / len(
        made
    )


def ours(kind: str) -> Callable[[str, str], bool]:
    """Our tasks' hook, all metrics of a document included."""

    def score(response: str, gold: str) -> bool:
        document: dict[str, Any] = {"gold": gold, "kind": kind, "options": None, "meta": {}}
        return bool(grade_responses(document, [[response]])["exact_match"])

    return score


def minerva() -> dict[str, Callable[[str, str], bool]]:
    """Upstream's two metrics; one call computes both."""
    utils = importlib.import_module("lm_eval.tasks.minerva_math.utils")

    def both(metric: str) -> Callable[[str, str], bool]:
        def score(response: str, gold: str) -> bool:
            document = {"answer": gold, "solution": f"It is $\\boxed{{{gold}}}$."}
            return bool(utils.process_results(document, [response])[metric])

        return score

    return {"minerva_math500 exact_match": both("exact_match"), "math_verify": both("math_verify")}


def gsm8k(pattern: str, group: int) -> Callable[[str, str], bool]:
    """One of gsm8k's filters and its exact_match, as its YAML file sets them."""
    from lm_eval.api.metrics import exact_match_hf_evaluate
    from lm_eval.filters.extraction import RegexFilter

    taken = RegexFilter(regex_pattern=pattern, group_select=group)
    ignored = [",", "\\$", "(?s).*#### ", "\\.$"]

    def score(response: str, gold: str) -> bool:
        ((prediction,),) = taken.apply([[response]], [{}])
        return bool(
            exact_match_hf_evaluate(
                [prediction], [gold], regexes_to_ignore=ignored, ignore_case=True
            )["exact_match"]
        )

    return score


def main() -> None:
    """Print the table."""
    table: list[tuple[str, float, float]] = []
    made = responses(MATHS, 1000)
    table.append(("MATH-like: ours", *timed(ours("expression"), made)))
    try:
        peers = minerva()
    except ImportError as error:
        peers = {}
        print(f"minerva_math500 left out: {re.sub(chr(10), ' ', str(error))[:120]}")
    table += [(f"MATH-like: {name}", *timed(score, made)) for name, score in peers.items()]
    made = responses([str(n * 37) for n in range(1, 40)], 1000)
    table.append(("GSM8K-like: ours", *timed(ours("number"), made)))
    filters = {
        "strict": (r"#### (\-?[0-9\.\,]+)", 0),
        "flexible": (r"(-?[$0-9.,]{2,})|(-?[0-9]+)", -1),
    }
    for name, (pattern, group) in filters.items():
        table.append((f"GSM8K-like: gsm8k {name}", *timed(gsm8k(pattern, group), made)))
    for name, seconds, right in table:
        print(f"{name:40} {seconds:7.3f} s CPU for 1,000   {right:6.1%} of the verdicts right")


if __name__ == "__main__":
    main()
