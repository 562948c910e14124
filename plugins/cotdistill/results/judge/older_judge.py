"""The verdicts that an older judge left beside the samples, held against ours by question."""

from __future__ import annotations

import json

from cotdistill.benchmarks.question import asked_alone, question_key
from cotdistill.errors import DataError, Fault
from cotdistill.results.judge.judge import Judged
from cotdistill.results.questions import QuestionId, single_samples, text_of

_SHOWN = 10


def older_judge_note(judged: Judged, run: str) -> str | None:
    """Say where an older judge's `llm_answer_check_result_<task>.json` differs from ours.

    Rows are joined by the question's words; a question answered several times is left out. None
    where there is no such file.

    Raises:
        DataError: the file is not what the older judge writes.
    """
    file = judged.file
    path = file.path.parent / f"llm_answer_check_result_{file.task}.json"
    if not path.is_file():
        return None
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        theirs = {question_key(row["problem"]): row["llm_check_result"] for row in rows}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        wrong = f"not an older judge's file ({error})"
        raise DataError(Fault(str(path), wrong, "a list of rows with llm_check_result")) from error
    answers: dict[QuestionId, list[bool]] = {}
    for item in judged.items:
        answers.setdefault(item.question, []).append(item.correct)
    pairs = [
        (number, bool(theirs[key]), answers[question][0])
        for number, (question, sample) in enumerate(single_samples(file))
        if len(answers[question]) == 1
        and (key := question_key(asked_alone(sample.doc) or text_of(sample))) in theirs
    ]
    differ = [(number, old) for number, old, new in pairs if old != new]
    shown = ", ".join(f"{n} (older: {'right' if old else 'wrong'})" for n, old in differ[:_SHOWN])
    more = f" and {len(differ) - _SHOWN} more" if len(differ) > _SHOWN else ""
    theirs_right, ours_right = sum(old for _, old, _ in pairs), sum(new for _, _, new in pairs)
    return (
        f"{run}, {file.task}: {path.name} of an older judge calls {theirs_right} of {len(pairs)} "
        f"right, this one {ours_right}; they differ on "
        + (f"{len(differ)}: rows {shown}{more}" if differ else "none")
    )
