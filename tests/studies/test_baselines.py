"""Which arm each arm is compared with, and how many seeds a recipe has."""

from __future__ import annotations

from typing import Any

import pytest

from cotdistill.errors import StudyError
from cotdistill.studies.baselines import baseline_arms, without_baseline
from cotdistill.studies.resolve import resolve
from cotdistill.studies.study import Study, read_study


def study(baseline: Any, *more: dict[str, Any], **keys: Any) -> Study:
    """A study of six arms: three levels of two teachers, each a file of puzzles."""
    value = {
        "schema_version": 2,
        "name": "grouped",
        "models": {"tiny": {"scratch": {"hidden_size": 32, "heads": 2, "layers": 1}}},
        "students": ["tiny"],
        "arms": {
            "{teacher}-{level}": {
                "for": {"teacher": ["a", "b"], "level": [1, 2, 3]},
                "puzzles": "ball", "level": "{level}", "rows": 4, "factors": {"questions": "ball"},
            },
            **{name: arm for one in more for name, arm in one.items()},
        },
        "recipes": {"full": {"max_steps": 2}},
        "evaluation": {"tasks": ["cot_gsm8k"], "generation": {"max_gen_toks": 64}},
        "compare": {"baseline": baseline},
        **keys,
    }  # fmt: skip
    return read_study(value, "s.yaml")


def test_an_arm_that_is_named_is_the_baseline_of_all() -> None:
    assert set(baseline_arms(study("a-1")).values()) == {"a-1"}


def test_factors_choose_a_baseline_in_each_group_of_the_other_factors() -> None:
    found = baseline_arms(study({"level": 1}))
    assert found == {
        "a-1": "a-1", "a-2": "a-1", "a-3": "a-1", "b-1": "b-1", "b-2": "b-1", "b-3": "b-1",
    }  # fmt: skip


def test_an_arm_without_the_factors_of_any_baseline_has_none() -> None:
    declared = study(
        {"level": 1}, {"human": {"puzzles": "ball", "level": 6, "factors": {"teacher": "human"}}}
    )
    assert baseline_arms(declared)["human"] is None
    assert without_baseline(declared) == ["human"]


def test_a_baseline_need_not_have_every_factor_of_the_arm_that_is_compared() -> None:
    declared = study(
        {"teacher": "none"},
        {
            "bare": {
                "puzzles": "ball",
                "level": "answer-only",
                "factors": {"teacher": "none", "level": None, "questions": "ball"},
            }
        },
    )
    with pytest.raises(StudyError, match="no arm"):
        resolve(study({"teacher": "nobody"}), "s.yaml")
    assert baseline_arms(declared)["a-2"] is None  # its level is 2, that of the baseline is none
    declared = study(
        {"teacher": "none", "level": None},
        {
            "bare": {
                "puzzles": "ball",
                "level": "answer-only",
                "factors": {"teacher": "none", "level": None},
            }
        },
    )
    assert set(baseline_arms(declared).values()) == {"bare"}


def test_what_keeps_factors_from_choosing_is_said_at_once() -> None:
    for baseline, message in (
        ({"levle": 1}, "no arm has the factor 'levle'; did you mean 'level'?"),
        ({"level": 7}, "no arm has {level: 7}; there are level: 1, 2, 3"),
        ({}, "no factors; expected an arm, or factors as {level: 1}"),
        ("a-9", "no arm 'a-9'; did you mean"),
    ):
        with pytest.raises(StudyError) as caught:
            resolve(study(baseline), "s.yaml")
        assert message in str(caught.value)


def test_two_baselines_of_one_arm_are_a_fault() -> None:
    more = {
        "again": {"puzzles": "ball", "level": 1, "factors": {"teacher": "a", "questions": "ball"}}
    }
    with pytest.raises(StudyError) as caught:
        resolve(study({"level": 1}, more), "s.yaml")
    assert "{level: 1} chooses a-1 and again for the arm 'a-2'" in str(caught.value)


def test_a_recipe_has_seeds_of_its_own() -> None:
    recipes = {"full": {"max_steps": 2}, "more": {"extends": "full", "seeds": [1, 2, 3]}}
    made = resolve(study({"level": 1}, recipes=recipes), "s.yaml")
    seeds = {(run.recipe, run.seed) for run in made.runs}
    assert seeds == {("full", 42), ("more", 1), ("more", 2), ("more", 3)}


def test_a_recipe_or_a_student_can_be_what_is_compared_with() -> None:
    recipes = {"ce": {"max_steps": 2}, "kd": {"max_steps": 3}}
    declared = study({"recipe": "ce"}, recipes=recipes)
    assert resolve(declared, "s.yaml").runs
    assert baseline_arms(declared)["a-2"] == "a-2"  # itself, under the other recipe
    with pytest.raises(StudyError, match="no recipe 'cee'; did you mean 'ce'"):
        resolve(study({"recipe": "cee"}, recipes=recipes), "s.yaml")
