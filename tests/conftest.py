"""Small studies that the tests vary, and the rules that no test reaches a network or a new case.

Generated cases are the same in every run. `pytest --hypothesis-profile=random -m slow` searches
further with fresh ones.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import settings

from small_study import EVALUATION, RECIPES

settings.register_profile("same", derandomize=True, deadline=None, database=None)
settings.register_profile("random", deadline=None, print_blob=True)
settings.load_profile("same")

# Read when the hub's library is imported, which a collected module may do before any test runs;
# without them, a test of a hub that is out of reach waits for half a minute.
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "OMP_NUM_THREADS": "1"}

Study = dict[str, Any]

SMALL: Study = {
    "name": "small",
    "students": [{"name": "tiny", "scratch": {"hidden_size": 32, "heads": 2, "layers": 1}}],
    "arms": {
        "answer-only": {"puzzles": "digit-sum", "level": "answer-only", "rows": 40, "seed": 1},
        "fine": {"puzzles": "digit-sum", "level": 6, "rows": 40, "seed": 1},
    },
    "recipes": RECIPES,
    "evaluation": EVALUATION,
    "hardware": {"gpus": 0},
}


@pytest.fixture
def small_study() -> Study:
    """A study of one tiny scratch student and two arms of puzzles, to be varied."""
    return copy.deepcopy(SMALL)


@pytest.fixture
def study_file(tmp_path: Path) -> Callable[[Study], Path]:
    """Write a study into a file and return its path."""

    def write(study: Study) -> Path:
        path = tmp_path / "study-file.yaml"
        path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
        return path

    return write
