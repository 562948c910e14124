"""A study file's faults are named, all at once, with file and key."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotdistill.errors import FaultsError, StudyError
from cotdistill.studies.load import load_study, with_settings
from cotdistill.studies.study import Hardware, Recipe, Study, batch_steps, read_study


def faults_of(study: object) -> list[str]:
    with pytest.raises(StudyError) as caught:
        read_study(study, "s.yaml")
    return [str(fault) for fault in caught.value.faults]


def test_an_unknown_key_is_never_said_to_mean_itself(small_study: dict[str, Any]) -> None:
    """A randomly initialised model knows no `template`; a model of the hub does."""
    small_study["students"][0]["template"] = "qwen"
    (fault,) = faults_of(small_study)
    assert "unknown key 'template' next to 'scratch'; " in fault
    assert "did you mean 'template'" not in fault


def test_a_small_study_is_read(small_study: dict[str, Any]) -> None:
    study = read_study(small_study, "s.yaml")
    assert study.trained_arms() == ["answer-only", "fine"]
    assert study.seeds == [42]


def test_an_unknown_key_is_named_with_the_nearest_one(small_study: dict[str, Any]) -> None:
    small_study["recipes"]["full"]["lerning_rate"] = 1.0
    assert faults_of(small_study) == [
        "s.yaml:recipes.full: unknown key 'lerning_rate'; did you mean 'learning_rate'?"
    ]


def test_an_unknown_key_of_an_arm_is_looked_for_in_that_kind_of_arm(
    small_study: dict[str, Any],
) -> None:
    small_study["arms"]["fine"]["sede"] = 3
    assert faults_of(small_study) == ["s.yaml:arms.fine: unknown key 'sede'; did you mean 'seed'?"]


def test_an_unknown_key_of_a_scratch_student_is_named(small_study: dict[str, Any]) -> None:
    small_study["students"][0]["scratch"]["hiden_size"] = 3
    (fault,) = faults_of(small_study)
    assert "unknown key 'hiden_size'" in fault
    assert "did you mean 'hidden_size'?" in fault


def test_all_faults_are_told_at_once(small_study: dict[str, Any]) -> None:
    small_study["seeds"] = ["x"]
    small_study["hardware"] = {"gpus": -1}
    del small_study["evaluation"]
    found = faults_of(small_study)
    assert len(found) == 3
    assert any("the key 'evaluation' is missing" in fault for fault in found)


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        ({"fine": -1.0}, "the weight of 'fine' is -1.0; a weight is 0 or more"),
        ({"fine": 0, "answer-only": 0}, "all weights are 0; at least one source must count"),
        ({"fine": math.nan}, "the weight of 'fine' is nan"),
    ],
)
def test_weights_that_are_no_shares_are_refused(
    small_study: dict[str, Any], mix: dict[str, float], message: str
) -> None:
    small_study["arms"]["mixed"] = {"mix": mix}
    (fault,) = faults_of(small_study)
    assert message in fault
    assert fault.startswith("s.yaml:arms.mixed")


def test_an_arm_without_a_source_is_told_what_could_be_one(small_study: dict[str, Any]) -> None:
    small_study["arms"]["odd"] = {"rows": 3}
    (fault,) = faults_of(small_study)
    assert fault.startswith("s.yaml:arms.odd: ")
    assert "dataset, file, mix, puzzles" in fault


def test_a_mix_of_a_mix_is_refused(small_study: dict[str, Any]) -> None:
    small_study["arms"]["one"] = {"mix": {"fine": 1}}
    small_study["arms"]["two"] = {"mix": {"one": 1}}
    assert faults_of(small_study) == [
        "s.yaml:arms.two.mix: 'one' is itself a mix; expected plain arms"
    ]


def test_a_study_of_a_newer_schema_gets_only_that_said(small_study: dict[str, Any]) -> None:
    small_study |= {"schema_version": 3, "unheard_of": True}
    assert faults_of(small_study) == [
        "s.yaml:schema_version: written for schema 3; expected 2 or older; upgrade cotdistill"
    ]


@pytest.mark.parametrize("value", [None, [], "text", 3])
def test_a_study_that_is_no_mapping_is_refused(value: object) -> None:
    (fault,) = faults_of(value)
    assert "expected a mapping" in fault


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("schema_version", 0, "s.yaml:schema_version: 0; expected greater than or equal to 1"),
        ("seeds", [1, 2, 1], "s.yaml:seeds: 1 is there twice; each random seed is one run"),
        ("seeds", [-1], "s.yaml:seeds: -1 is no random seed; use numbers from 0 to 4294967295"),
        ("seeds", [2**32], "is no random seed"),
        ("compare", {"baseline": 0},
         "s.yaml:compare.baseline: 0; expected a valid string or a mapping of keys to values"),
        ("models", {"t": {"endpoint": [1], "model": "m"}},
         "s.yaml:models.t.endpoint.0: 1; expected a valid string"),
        ("models", {"t": {"modl": "m"}}, "did you mean 'model'?"),
        ("arms", {"a": {"puzles": "ball"}}, "did you mean 'puzzles'?"),
        ("arms", {"a": {"puzzles": "ball", "level": 6, "rows": 9}, "m": {"mix": {"a": True}}},
         "s.yaml:arms.m.mix: True (YAML's yes, no, true, false) is not a number"),
        ("evaluation", {"tasks": [{"cot_svamp": 4}]},
         "s.yaml:evaluation.tasks: cot_svamp: 4; expected settings, as in {cot_svamp: {limit"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_meant_is_one_fault_in_words_of_the_file(
    small_study: dict[str, Any], key: str, value: object, message: str
) -> None:
    found = faults_of(small_study | {key: value})  # some keys make it a study of version 2
    (fault,) = [fault for fault in found if fault.startswith(f"s.yaml:{key}")]
    assert message in fault


def test_a_task_whose_settings_were_taken_out_is_asked(small_study: dict[str, Any]) -> None:
    small_study["evaluation"]["tasks"] = [{"cot_svamp": None}]
    assert read_study(small_study, "s.yaml").evaluation.task_names == ["cot_svamp"]


def test_names_that_cannot_be_file_names_are_refused(small_study: dict[str, Any]) -> None:
    small_study["arms"]["a/b"] = small_study["arms"]["fine"]
    small_study["recipes"]["x--y"] = small_study["recipes"]["full"]
    found = "\n".join(faults_of(small_study))
    assert "the name 'a/b' becomes a file name" in found
    assert "the name 'x--y' holds '--'" in found


def test_how_long_to_train_is_said_once(small_study: dict[str, Any]) -> None:
    small_study["recipes"]["full"]["epochs"] = 1
    assert faults_of(small_study) == [
        "s.yaml:recipes.full: say how long to train: either 'epochs' or 'max_steps'"
    ]


def test_deepspeed_is_not_started_plainly(small_study: dict[str, Any]) -> None:
    small_study["recipes"]["full"]["deepspeed"] = "z3"
    small_study["launcher"] = "plain"
    (fault,) = faults_of(small_study)
    assert "recipe 'full' uses DeepSpeed" in fault


def test_the_json_schema_names_every_key() -> None:
    schema = Study.model_json_schema()
    assert set(schema["properties"]) == set(Study.model_fields)
    assert schema["additionalProperties"] is False


def test_a_batch_that_cannot_be_met_names_the_nearest_that_can() -> None:
    recipe = Recipe(epochs=1, global_batch=64, per_device_batch=5)
    with pytest.raises(StudyError) as caught:
        batch_steps(recipe, Hardware(gpus=4), "s.yaml:recipes.full")
    assert str(caught.value) == (
        "s.yaml:recipes.full: global_batch 64 cannot be met by 5 a device on 4 devices; expected a "
        "multiple of 20; use a global_batch of 60 or 80, or a per_device_batch of 4"
    )


@given(
    batch=st.integers(1, 600),
    each=st.integers(1, 40),
    gpus=st.integers(0, 9),
    nodes=st.integers(1, 5),
)
def test_a_batch_is_met_exactly_or_refused(batch: int, each: int, gpus: int, nodes: int) -> None:
    recipe = Recipe(epochs=1, global_batch=batch, per_device_batch=each)
    hardware = Hardware(gpus=gpus, nodes=nodes)
    try:
        steps = batch_steps(recipe, hardware, "s")
    except StudyError:
        assert batch % (each * hardware.devices)
    else:
        assert steps * each * hardware.devices == batch


def test_settings_reach_into_lists_and_mappings(small_study: dict[str, Any]) -> None:
    changed = with_settings(
        small_study, ["students.0.name=mini", "recipes.full.settings.weight_decay=0.1"]
    )
    assert changed["students"][0]["name"] == "mini"
    assert changed["recipes"]["full"]["settings"] == {"weight_decay": 0.1}
    assert small_study["students"][0]["name"] == "tiny"


@pytest.mark.parametrize("setting", ["seeds", "=3", "name.x.y=1", "students.7.name=a", "seeds=[1"])
def test_a_setting_that_cannot_be_meant_is_refused(
    small_study: dict[str, Any], setting: str
) -> None:
    with pytest.raises(FaultsError, match="--set"):
        with_settings(small_study, [setting])


def test_a_value_that_aliases_make_huge_is_shown_short(small_study: dict[str, Any]) -> None:
    huge: Any = ["x"] * 9
    for _ in range(9):
        huge = [huge] * 9
    with pytest.raises(StudyError) as found:
        read_study({**small_study, "name": huge}, "s")
    assert len(str(found.value)) < 200


@pytest.mark.parametrize(
    "setting",
    ["recipes.full.learning_rate=yes", "recipes.full.max_steps=on", "seeds=[1, no]",
     "hardware.gpus=true", "evaluation.batch_size=yes", "evaluation.limit=off"],
)  # fmt: skip
def test_a_boolean_is_not_a_number(setting: str) -> None:
    with pytest.raises(StudyError, match=r"\(YAML's yes, no, true, false\) is not a number"):
        load_study("quickstart", [setting])


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("recipes.ful.learning_rate=1", "--set recipes.ful: no recipe 'ful'; did you mean 'full'?"),
        ("arms.answers.rows=1", "--set arms.answers: no arm 'answers'; "),
    ],
)
def test_a_setting_of_an_unknown_arm_or_recipe_names_the_right_word(
    setting: str, line: str
) -> None:
    with pytest.raises(FaultsError) as caught:
        load_study("quickstart", [setting])
    assert str(caught.value).startswith(line)
    assert "a new one is given whole" in str(caught.value)
