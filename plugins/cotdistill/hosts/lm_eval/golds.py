"""The gold answer that a document of any task carries, whatever it calls it."""

from __future__ import annotations

import re

from cotdistill.hosts.lm_eval.samples import Sample

_TARGET_IS_ANSWER = 200


def gold_of(sample: Sample) -> str | None:
    r"""Return the gold answer that a document carries, or None where it carries none.

    Ours is `gold`; upstream's and the seeds' are `answer`, `final_answer` (a list), `Answer`; a
    worked solution is not an answer, but its last box and GSM8K's `####` are.
    """
    doc = sample.doc
    for name in ("gold", "final_answer", "answer", "Answer", "target"):
        value = doc.get(name)
        if isinstance(value, list):
            value = ", ".join(str(item) for item in value) if value else None
        if isinstance(value, bool | int | float):
            value = _number_text(value)
        if isinstance(value, str) and value.strip():
            return _stated_answer(value)
    for solution in (sample.target, doc.get("solution"), doc.get("Solution")):
        if isinstance(solution, str) and (boxed := last_box(solution)) is not None:
            return boxed
    short = sample.target.strip()
    return short if 0 < len(short) <= _TARGET_IS_ANSWER else None


def last_box(text: str) -> str | None:
    r"""Return what the last balanced `\boxed{}` or `\fbox{}` of a solution holds.

    >>> last_box(r"so \boxed{\frac{1}{2}}."), last_box("no box")
    ('\\frac{1}{2}', None)
    """
    for found in reversed(list(re.finditer(r"\\(?:boxed|fbox|framebox)\s*\{", text))):
        depth = 1
        for place in range(found.end(), len(text)):
            depth += {"{": 1, "}": -1}.get(text[place], 0)
            if depth == 0:
                return text[found.end() : place].strip()
    return None


def _number_text(value: bool | int | float) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _stated_answer(text: str) -> str:
    if "####" in text:
        return text.rpartition("####")[2].strip()
    return text
