"""The grader: extract an answer, compare it with the reference answer; pure."""

PUBLIC_MODULES = (
    "answer_span",
    "arithmetic.soundness",
    "batch",
    "equivalence.equivalent",
    "extract.extract",
    "extract.gold",
    "grade",
    "kinds",
    "repetition",
)
