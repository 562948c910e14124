"""A format of rationales has one printed name, and is read by every other name that it has."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from cotdistill.catalogue.formats import ALIASES, FORMATS, format_called
from cotdistill.catalogue.packaged import datasets
from cotdistill.cli.main import main
from cotdistill.errors import FaultsError
from cotdistill.studies.resolve import resolve
from cotdistill.studies.study import Study, read_study


def study(**keys: Any) -> Study:
    value = {
        "schema_version": 2,
        "name": "formats",
        "models": {"teacher": {"endpoint": "http://127.0.0.1:9/v1", "model": "m"}},
        "students": ["Llama-3.2-1B"],
        "questions": {"svamp": {"benchmark": "svamp"}},
        "recipes": {"full": {"epochs": 1}},
        "evaluation": {"tasks": ["cot_svamp"], "generation": {"max_gen_toks": 64}},
        **keys,
    }
    return read_study(value, "s.yaml")


def taught(form: str) -> dict[str, Any]:
    return {"teach": {"questions": "svamp", "teacher": "teacher", "format": form}}


def test_every_other_name_stands_for_a_format_that_is_there() -> None:
    assert set(ALIASES.values()) <= set(FORMATS)
    assert not set(ALIASES) & set(FORMATS)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("bsm", "least-to-most"), ("RaR", "rephrase"), ("sym", "symbolic"), ("pot", "program")],
)
def test_a_teacher_is_asked_for_a_format_by_either_name(written: str, meant: str) -> None:
    arm = study(arms={"a": taught(written)}).arms["a"]
    assert arm.teach.format == meant  # type: ignore[union-attr]
    assert arm.factors["format"] == meant


def test_a_grid_binds_the_name_as_written_and_has_the_printed_one_as_its_factor() -> None:
    grid = {"a-{format}": {"for": {"format": ["bsm", "natural"]}, **taught("{format}")}}
    arms = study(arms=grid).arms
    assert {name: arm.factors["format"] for name, arm in arms.items()} == {
        "a-bsm": "least-to-most", "a-natural": "natural",
    }  # fmt: skip


def test_selections_by_format_take_either_name() -> None:
    arms = {"a-{format}": {"for": {"format": ["bsm", "rar", "sym"]}, **taught("{format}")}}
    recipes = {"one": {"epochs": 1, "when": {"format": "rephrase"}},
               "two": {"epochs": 1, "when": {"format": ["bsm", "sym"]}}}  # fmt: skip
    runs = resolve(study(arms=arms, recipes=recipes), "s.yaml").runs
    assert [(run.arm, run.recipe) for run in runs] == [
        ("a-bsm", "two"), ("a-rar", "one"), ("a-sym", "two"),
    ]  # fmt: skip


def test_registered_datasets_have_the_printed_names_and_are_found_by_the_published_ones() -> None:
    found = {entry.factors.get("format") for entry in datasets().values()} - {None}
    assert found <= set(FORMATS)
    by_old = {"{dataset}": {"for": {"datasets": {"questions": "SVAMP", "format": "rar"}},
                            "dataset": "{dataset}"}}  # fmt: skip
    by_new = yaml.safe_load(yaml.safe_dump(by_old).replace("rar", "rephrase"))
    assert list(study(arms=by_old).arms) == list(study(arms=by_new).arms) != []


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("bms", "did you mean 'least-to-most'?"),
        ("simbolic", "did you mean 'symbolic'?"),
        ("xylo", "known: natural, least-to-most"),
    ],
)
def test_a_mistake_is_pointed_to_the_nearest_format(wrong: str, hint: str) -> None:
    with pytest.raises(FaultsError) as caught:
        study(arms={"a": taught(wrong)})
    assert f"s.yaml:arms.a.teach.format: no format '{wrong}'; {hint}" in str(caught.value)


def test_a_mistake_in_the_factors_of_datasets_is_pointed_to_too() -> None:
    arms = {"{dataset}": {"for": {"datasets": {"questions": "SVAMP", "format": "rra"}},
                          "dataset": "{dataset}"}}  # fmt: skip
    with pytest.raises(FaultsError, match="format rra: did you mean 'rephrase'"):
        study(arms=arms)


def test_teach_takes_the_published_names(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["teach", "svamp", "--endpoint", "http://127.0.0.1:9/v1", "--model", "m", "-o", "o"]
    assert main([*command, "--formats", "bsm,plane"]) == 2
    assert "no format 'plane'; did you mean 'plain'?" in capsys.readouterr().err


def test_what_is_no_name_of_a_format_stays_as_it_is() -> None:
    assert [format_called(name) for name in ("mine", 3, None)] == ["mine", 3, None]
