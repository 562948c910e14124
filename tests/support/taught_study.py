"""A small study in which a teacher behind a server writes the rows of two arms."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from cotdistill.cli.main import main
from small_study import EVALUATION, RECIPES
from teacher import write_questions


def study(url: str, **changed: Any) -> dict[str, Any]:
    return {
        "schema_version": 2,
        "name": "pens",
        "models": {
            "tiny": {"scratch": {"hidden_size": 32, "heads": 2, "layers": 1}},
            "teacher": {
                "endpoint": url,
                "model": "m",
                "key_env": "TEACHER_KEY",
                "price": {"input": 1.0, "output": 2.0},
            },
        },
        "students": ["tiny"],
        "questions": {"pens": {"file": "q.jsonl"}},
        "arms": {
            "level-{level}": {
                "for": {"level": [1, 3]},
                "teach": {"questions": "pens", "teacher": "teacher", "level": "{level}"},
                "filter": {"grade": "strict", "per_question": 1},
            },
        },
        "recipes": deepcopy(RECIPES),
        "evaluation": deepcopy(EVALUATION),
        "hardware": {"gpus": 0},
    } | changed


def generated(folder: Path, declared: dict[str, Any], count: int = 12, **changed: str) -> Path:
    """Write a study and its questions, and generate its run folder."""
    write_questions(folder / "q.jsonl", count, **changed)
    (folder / "study.yaml").write_text(yaml.safe_dump(declared, sort_keys=False))
    assert main(["generate", str(folder / "study.yaml"), "-o", str(folder / "run")]) == 0
    return folder / "run"


def jobs_of(run: Path) -> dict[tuple[str, str], dict[str, Any]]:
    lines = (run / "jobs.jsonl").read_text().splitlines()
    return {(job["stage"], job["name"]): job for job in map(json.loads, lines)}


def step(run: Path, stage: str, name: str) -> int:
    return main(["step", stage, name, "--folder", str(run)])
