"""Test questions with reference answers, and the lm-eval tasks that ask them."""

PUBLIC_MODULES = (
    "benchmark",
    "choices",
    "convert",
    "evaluate",
    "guess",
    "hooks",
    "instruction",
    "needed",
    "packaged",
    "prepare",
    "puzzle_task",
    "puzzles",
    "question",
    "readings",
    "store",
)
