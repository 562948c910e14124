"""Grades pairs with a peer, in the peers' own environment: JSON lines in, JSON lines out.

    .venv-bench/bin/python peers.py math-verify < pairs.jsonl

Each peer gets its best configuration: math-verify with both sides in `$..$` where they are bare
and with choice letters read first; inspect-ai's scorer through the two functions that its `math`
calls. A pair has five seconds.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable

SECONDS = 5
MARKS = ("$", "\\boxed", "\\[", "\\(", "nswer", " is ", "\n")


class LateError(Exception):
    """The pair's time is up."""


def wrapped(text: str) -> str:
    """Put a bare answer in `$..$`; leave a text that marks its own mathematics."""
    bare = len(text) <= 200 and not any(mark in text for mark in MARKS)
    return f"${text}$" if bare else text


def math_verify() -> Callable[[str, str], bool]:
    """math-verify 0.9.0, both sides wrapped, letters configured."""
    from math_verify import (
        ExprExtractionConfig,
        LatexExtractionConfig,
        StringExtractionConfig,
        parse,
        verify,
    )

    letters = StringExtractionConfig(strings=tuple("ABCDEFGHIJ"))
    mathematics = (LatexExtractionConfig(), ExprExtractionConfig())
    choices = (letters, *mathematics)

    def grade(text: str, gold: str) -> bool:
        is_letter = len(gold.strip("()")) == 1 and gold.strip("()") in "ABCDEFGHIJ"
        config = choices if is_letter else mathematics
        right = parse(
            gold.strip("()") if is_letter else wrapped(gold), config, parsing_timeout=None
        )
        prediction = parse(text if is_letter else wrapped(text), config, parsing_timeout=None)
        return bool(verify(right, prediction, timeout_seconds=None))

    return grade


def inspect_ai() -> Callable[[str, str], bool]:
    """inspect-ai's `math` scorer, without its event loop."""
    from inspect_ai.scorer import _math as scorer

    def grade(text: str, gold: str) -> bool:
        targets, wrong = scorer._parse_targets_worker((gold,))
        if wrong is not None:
            return False
        return bool(scorer._score_answer_worker(text, targets).status == "correct")

    return grade


def late(*_: object) -> None:
    """Stop a pair."""
    raise LateError


def main(peer: str) -> None:
    """Grade every pair on stdin."""
    grade = {"math-verify": math_verify, "inspect-ai": inspect_ai}[peer]()
    grade("7", "7")  # imports are not counted
    signal.signal(signal.SIGALRM, late)
    for line in sys.stdin:
        text, gold = json.loads(line)
        start, end = time.perf_counter(), "ok"
        signal.alarm(SECONDS)
        try:
            equal = grade(text, gold)
        except LateError:
            equal, end = False, "late"
        except Exception as wrong:
            equal, end = False, type(wrong).__name__
        signal.alarm(0)
        sys.stdout.write(json.dumps([equal, time.perf_counter() - start, end]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
