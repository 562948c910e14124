"""Random seeds of a scratch student begin from different first weights, as they must to count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cotdistill.files.yamls import read_yaml
from cotdistill.results.doubts import one_draw, shares_start
from cotdistill.runfolder.generate import generate
from cotdistill.runfolder.manifest import read_manifest


def test_the_host_draws_the_weights_of_a_whole_scratch_model_with_each_seed(
    small_study: dict[str, Any], study_file: Callable[[dict[str, Any]], Path], tmp_path: Path
) -> None:
    full = small_study["recipes"]["full"]
    small_study["recipes"] = {
        "full": full,
        "kept": full | {"settings": {"train_from_scratch": False}},
        "lora": full | {"template": "lora"},
    }
    small_study["students"].append({"name": "other", "model": "some/model", "template": "qwen"})
    folder = tmp_path / "run"
    generate(str(study_file(small_study)), folder)
    found: dict[tuple[str, str], set[Any]] = {}
    for run in read_manifest(folder):
        assert run.files.train is not None
        drawn = read_yaml(folder / run.files.train).get("train_from_scratch")
        found.setdefault((run.student, run.recipe), set()).add((drawn, shares_start(folder, run)))
    assert found == {
        ("tiny", "full"): {(True, False)},
        ("tiny", "kept"): {(False, True)},
        ("tiny", "lora"): {(None, True)},
        ("other", "full"): {(None, False)},
        ("other", "kept"): {(False, False)},
        ("other", "lora"): {(None, False)},
    }


def test_a_student_whose_seeds_share_their_first_weights_is_named_once() -> None:
    (line,) = one_draw(["tiny", "tiny"])
    assert line.startswith("tiny began from random weights that were drawn once for each arm")
