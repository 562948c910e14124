"""Compare the verdicts that an older judge left next to the samples with ours, by question."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cotdistill.benchmarks.question import question_key
from cotdistill.errors import DataError, Fault
from cotdistill.hosts.lm_eval.samples import SampleFile
from cotdistill.results.judge.responses import JudgedFile

_SHOWN = 10


@dataclass(frozen=True)
class OlderJudge:
    """The verdicts of an older judge, by the question's own words."""

    path: Path
    verdicts: Mapping[str, bool]


def older_judge_of(file: SampleFile) -> OlderJudge | None:
    """Return what is in `llm_answer_check_result_<task>.json` next to samples; None without one.

    Raises:
        DataError: the file is not what the older judge writes.
    """
    path = file.path.parent / f"llm_answer_check_result_{file.task}.json"
    if not path.is_file():
        return None
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        verdicts = {question_key(row["problem"]): bool(row["llm_check_result"]) for row in rows}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        wrong = f"not an older judge's file ({error})"
        raise DataError(Fault(str(path), wrong, "a list of rows with llm_check_result")) from error
    return OlderJudge(path, verdicts)


def older_judge_note(judged: JudgedFile, run: str, older: OlderJudge) -> str:
    """Say where an older judge's verdicts differ from ours.

    Rows are joined by the question's words; a question answered several times is left out.
    """
    pairs = [
        (number, older.verdicts[key], responses[0].correct)
        for number, responses in enumerate(judged.by_question().values())
        if len(responses) == 1 and (key := responses[0].question.alone) in older.verdicts
    ]
    differ = [(number, theirs) for number, theirs, ours in pairs if theirs != ours]
    shown = ", ".join(f"{n} (older: {'right' if old else 'wrong'})" for n, old in differ[:_SHOWN])
    more = f" and {len(differ) - _SHOWN} more" if len(differ) > _SHOWN else ""
    theirs_right, ours_right = (sum(pair[side] for pair in pairs) for side in (1, 2))
    return (
        f"{run}, {judged.file.task}: {older.path.name} of an older judge calls {theirs_right} of "
        f"{len(pairs)} right, this one {ours_right}; they differ on "
        + (f"{len(differ)}: rows {shown}{more}" if differ else "none")
    )
