"""The reference answer that a document of any task carries, whatever it calls it."""

from __future__ import annotations

from cotdistill.grading.extract.gold import stated_answer
from cotdistill.hosts.lm_eval.samples import Sample

_LONGEST_ANSWER = 200  # characters of a target that states nothing and still is an answer


def gold_of(sample: Sample) -> str | None:
    r"""Return the reference answer that a document carries, or None where it carries none.

    Ours is `gold`; upstream's and the papers' repositories' are `answer`, `final_answer` (a list),
    `Answer`. Of a worked solution it is what the grader reads as stated: the last box, GSM8K's
    `####`, "the answer is".
    """
    doc = sample.doc
    for name in ("gold", "final_answer", "answer", "Answer", "target"):
        value = doc.get(name)
        if isinstance(value, list):
            value = ", ".join(str(item) for item in value) if value else None
        if isinstance(value, bool | int | float):
            value = _number_text(value)
        if isinstance(value, str) and value.strip():
            return stated_answer(value) or value
    target = sample.target
    for solution in (target, doc.get("solution"), doc.get("Solution")):
        if isinstance(solution, str) and (stated := stated_answer(solution)) is not None:
            return stated
    short = target.strip()
    return short if 0 < len(short) <= _LONGEST_ANSWER else None


def _number_text(value: bool | int | float) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
