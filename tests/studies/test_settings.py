"""Names with dots in `--set`, and entries of a study that overlap."""

from __future__ import annotations

from typing import Any

import pytest

from cotdistill.errors import FaultsError
from cotdistill.studies.expand import expand
from cotdistill.studies.load import with_settings
from cotdistill.studies.notes import study_notes
from cotdistill.studies.study import read_study

DOTTED = {"models": {"Qwen2.5-7B": {"context": 1}}, "arms": {"a.b": {"level": 1}}}


@pytest.mark.parametrize("key", ["models.Qwen2.5-7B.context", "models.'Qwen2.5-7B'.context",
                                 'models."Qwen2.5-7B".context', "models[Qwen2.5-7B].context",
                                 "models['Qwen2.5-7B'][context]"])  # fmt: skip
def test_a_name_with_dots_is_reached(key: str) -> None:
    changed = with_settings(DOTTED, [f"{key}=9"])
    assert changed["models"] == {"Qwen2.5-7B": {"context": 9}}


def test_a_whole_entry_with_dots_is_replaced_and_a_new_one_is_quoted() -> None:
    assert with_settings(DOTTED, ["arms.a.b={level: 2}"])["arms"] == {"a.b": {"level": 2}}
    found = with_settings(DOTTED, ["models.'x.y'={scratch: {}}"])["models"]
    assert found["x.y"] == {"scratch": {}}


def test_a_quoted_name_may_hold_an_equals_sign_and_a_value_may_hold_anything() -> None:
    changed = with_settings({"arms": {"a=b": {"file": "x"}}}, ["arms.'a=b'.file='it''s.x=[1]'"])
    assert changed["arms"]["a=b"]["file"] == "it's.x=[1]"


@pytest.mark.parametrize(("setting", "wrong"), [
    ("arms..x=1", "the key cannot be read from '..x' on"),
    ("arms.'x=1", "not a setting; expected key=value"),
    ("arms", "not a setting; expected key=value"),
])  # fmt: skip
def test_a_key_that_cannot_be_read_is_refused(setting: str, wrong: str) -> None:
    with pytest.raises(FaultsError) as caught:
        with_settings(DOTTED, [setting])
    assert wrong in str(caught.value)


def grids(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    return {"arms": {"x-{level}": first, "x-{level}{kind}": second}}


def test_two_grids_that_make_one_name_are_named_both() -> None:
    one = {"for": {"level": [1, 3]}, "puzzles": "ball", "level": "{level}"}
    two = {"for": {"level": [3, 6], "kind": [""]}, "puzzles": "ball", "level": "{level}"}
    with pytest.raises(FaultsError) as caught:
        expand(grids(one, two), "s.yaml")
    assert str(caught.value) == (
        "s.yaml:arms.x-{level}{kind}: 'x-3' is made by 'x-{level}' as well: the two overlap; "
        "leave the cell out of one, or give one another name"
    )


def test_arms_that_differ_in_their_names_only_are_said() -> None:
    study = read_study(
        {
            "schema_version": 2, "name": "same", "students": ["Llama-3.2-1B"],
            "arms": {"a": {"puzzles": "ball", "level": 1}, "b": {"puzzles": "ball", "level": 1},
                     "c": {"puzzles": "ball", "level": 2}},
            "recipes": {"one": {"epochs": 1}, "two": {"epochs": 1, "factors": {"try": 2}}},
            "evaluation": {"tasks": ["cot_gsm8k"]},
        },
        "s.yaml",
    )  # fmt: skip
    notes = [note for note in study_notes(study) if "but for their names" in note]
    assert [note.split(" are the same")[0] for note in notes] == ["arms a, b", "recipes one, two"]
