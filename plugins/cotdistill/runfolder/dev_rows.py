"""Development questions as rows that an encoder-decoder's training answers after each epoch.

They are the `dev` of a study's question sets, which no arm is trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cotdistill.arms.rows import COLUMNS
from cotdistill.benchmarks.instruction import Frame
from cotdistill.errors import DataError
from cotdistill.files.atomic import write_if_changed
from cotdistill.files.jsonl import row_line
from cotdistill.studies.question_sets import QuestionSet, Record
from cotdistill.studies.resolve import Resolved
from cotdistill.studies.study import Study

_ALL = "all"


def dev_rows_name(study: Study, questions: object) -> str | None:
    """Return how the development rows of an arm are registered, None where there are none.

    An arm whose factor `questions` names a set with development questions has those; any other
    has those of all sets. The name says which questions are asked, so that a run whose questions
    change is trained again.
    """
    names = _names(study)
    by_lower = {name.lower(): name for name in names}
    return _name(names[by_lower.get(str(questions).lower(), _ALL)]) if names else None


def registered_dev_rows(root: Path, resolved: Resolved) -> dict[str, Any]:
    """Return the registrations of development rows, where a student needs them."""
    needed = any(run.is_trained and run.student.is_encoder_decoder for run in resolved.runs)
    names = _names(resolved.study) if needed else {}
    return {
        _name(asked): {"file_name": str(_path(root, asked)), "columns": COLUMNS}
        for asked in names.values()
    }


def write_dev_rows(root: Path, study: Study, sets: Mapping[str, QuestionSet]) -> None:
    """Write the development rows of a study.

    Raises:
        DataError: a set's questions are not prepared.
    """
    kept = {name: one for name, one in sets.items() if one.declared.dev}
    if missing := [one.not_here for one in kept.values() if not one.is_here]:
        raise DataError(missing)
    texts = {
        name: "".join(row_line(_row(study.prompt.frame, row)) for row in one.dev)
        for name, one in kept.items()
    }
    names = _names(study)
    for name, text in {**texts, _ALL: "".join(texts.values())}.items():
        write_if_changed(_path(root, names[name]), text)


def _names(study: Study) -> dict[str, str]:
    """Return what is asked of each set with development questions, and of all together."""
    sets = {name: one for name, one in study.questions.items() if one.dev}
    asked = {
        name: name if one.largest_number is None else f"{name}-up-to-{one.largest_number:.15g}"
        for name, one in sets.items()
    }
    numbers = [label for name, label in asked.items() if label != name]
    return {**asked, _ALL: "-".join([_ALL, *numbers])} if asked else {}


def _name(asked: str) -> str:
    return f"dev-rows-{asked}"


def _row(frame: Frame, question: Record) -> dict[str, Any]:
    return {
        COLUMNS["system"]: "",
        COLUMNS["prompt"]: frame.asked(question["question"], question.get("options")),
        COLUMNS["response"]: question["gold"],
        "gold": question["gold"],
    }


def _path(root: Path, asked: str) -> Path:
    return root / "data" / "dev" / f"{asked}.rows.jsonl"
