"""What results are compared with: an arm, a recipe, a student, or a choice by factors."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from cotdistill.cli.main import main
from cotdistill.errors import DataError
from cotdistill.results.collect import collect
from cotdistill.results.compare import compare
from cotdistill.results.effects import ByFactor
from cotdistill.results.factors import by_factor
from cotdistill.results.groups import bases_of
from cotdistill.results.matrix import Matrix, matrix
from cotdistill.results.report.report import report
from run_folder import add_run, add_scores, add_training, add_untrained, write_study

QUESTIONS = 60


def put(
    folder: Path,
    counts: Sequence[int],
    *,
    arm: str = "fine",
    recipe: str = "ce",
    student: str = "tiny",
    factors: Mapping[str, str | int | float] | None = None,
) -> None:
    """Add a group with so many right answers a seed."""
    for seed, count in enumerate(counts, start=1):
        run = f"{student}--{arm}--{recipe}--s{seed}"
        add_run(folder, run, arm, student, seed, factors=factors or {}, recipe=recipe)
        add_training(folder, run)
        right = [(place + 7 * seed) % QUESTIONS < count for place in range(QUESTIONS)]
        add_scores(folder, run, right)


def found(table: Matrix) -> dict[tuple[str, str], float]:
    """Return the differences in questions, by first and second."""
    return {
        (one.first, one.second): round(QUESTIONS * one.difference.value, 6)
        for one in table.differences
    }


def table_of(folder: Path, baseline: str | None = None) -> Matrix:
    return matrix(collect(folder), baseline)


def factors_of(folder: Path) -> ByFactor:
    return by_factor(table_of(folder))


def test_of_one_arm_its_recipes_are_compared(tmp_path: Path) -> None:
    put(tmp_path, [20, 22, 24])
    put(tmp_path, [40, 44, 42], recipe="kd")
    table = table_of(tmp_path)
    assert (table.baseline, table.compared) == ("recipe ce", "recipe")
    assert found(table) == {("ce", "kd"): 20.0}
    (one,) = table.differences
    assert one.mark == "▲"
    assert one.compared.run_variance is not None
    assert one.compared.run_variance.freedom == 4, "the runs of both recipes count"
    made = report(tmp_path)
    assert made.verdict.startswith("kd beats ce by 33.3 points")
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "Every recipe against <strong>recipe ce</strong> with the same student and arm" in page


def test_every_recipe_is_compared_on_each_arm(tmp_path: Path) -> None:
    for arm, (ce, kd) in {"short": (20, 30), "long": (10, 40)}.items():
        put(tmp_path, [ce, ce + 2], arm=arm)
        put(tmp_path, [kd, kd + 2], arm=arm, recipe="kd")
    assert found(table_of(tmp_path, "ce")) == {
        ("short · ce", "short · kd"): 10.0,
        ("long · ce", "long · kd"): 30.0,
    }
    by_arm = table_of(tmp_path)
    assert by_arm.baseline == "short", "several arms are compared unless one says otherwise"
    assert set(found(by_arm)) == {("short · ce", "long · ce"), ("short · kd", "long · kd")}


def test_a_recipe_is_a_factor_with_a_main_effect_and_interactions(tmp_path: Path) -> None:
    for level, (ce, kd) in {1: (20, 30), 6: (10, 40)}.items():
        for recipe, count in (("ce", ce), ("kd", kd)):
            put(
                tmp_path,
                [count, count + 2],
                arm=f"l{level}",
                recipe=recipe,
                factors={"level": level},
            )
    effects = factors_of(tmp_path)
    main = {(one.factor, one.recipe): one.found.estimate.value for one in effects.main}
    # level 6 less level 1 under each recipe; kd less ce, averaged over both levels
    assert main == pytest.approx(
        {("level", "ce"): -10 / 60, ("level", "kd"): 10 / 60, ("recipe", ""): 20 / 60}
    )
    (both,) = effects.interactions
    assert (both.factor, both.value, both.other, both.other_value) == ("recipe", "kd", "level", 6)
    assert both.found.estimate.value == pytest.approx((30 - 10) / 60)
    pivots = {(one.row_factor, one.column_factor, one.recipe) for one in effects.pivots}
    assert ("level", "recipe", "") in pivots
    assert ("student", "recipe", "") in pivots


def test_the_effect_of_a_recipe_on_one_arm_is_the_difference(tmp_path: Path) -> None:
    put(tmp_path, [20, 26, 23])
    put(tmp_path, [30, 36, 31], recipe="kd")
    (difference,) = table_of(tmp_path).differences
    (effect,) = factors_of(tmp_path).main
    assert effect.found.p == pytest.approx(difference.p)
    assert effect.found.interval.low == pytest.approx(difference.difference.low)


def test_recipes_with_factors_of_their_own_are_compared_by_them(tmp_path: Path) -> None:
    put(tmp_path, [20, 22])
    for weight, count in ((0.3, 30), (0.9, 40)):
        put(tmp_path, [count, count + 2], recipe=f"kd-{weight}", factors={"weight": weight})
    main = {(one.factor, one.value): one.found.estimate.value for one in factors_of(tmp_path).main}
    assert main["weight", 0.9] == pytest.approx(10 / 60)
    assert main["recipe", "ce"] == pytest.approx(-15 / 60)
    assert found(table_of(tmp_path, "weight=0.3")) == {
        ("kd-0.3", "ce"): -10.0,
        ("kd-0.3", "kd-0.9"): 10.0,
    }
    assert set(found(table_of(tmp_path, "ce"))) == {("ce", "kd-0.3"), ("ce", "kd-0.9")}


def test_factors_choose_a_baseline_in_each_group_of_the_others(tmp_path: Path) -> None:
    for teacher, counts in {"chatgpt": (20, 30), "gemini": (40, 35)}.items():
        for level, count in zip((1, 6), counts, strict=True):
            factors = {"level": level, "teacher": teacher}
            put(tmp_path, [count, count + 2], arm=f"{teacher}-{level}", factors=factors)
    put(tmp_path, [10, 12], arm="answer-only")
    table = table_of(tmp_path, "level=1")
    assert (table.baseline, table.compared) == ("level 1", "arm")
    assert found(table) == {
        ("chatgpt-1", "chatgpt-6"): 10.0,
        ("gemini-1", "gemini-6"): -5.0,
    }
    both = table_of(tmp_path, "level=1,teacher=gemini")
    assert both.baseline == "level 1, teacher gemini"
    assert set(both.bases.values()) == {("tiny", "gemini-1", "ce")}


def test_students_can_be_compared_and_have_a_run_variance_each(tmp_path: Path) -> None:
    for student, counts in {"tiny": (20, 22, 24), "small": (40, 42, 50)}.items():
        put(tmp_path, counts, student=student)
    (one,) = table_of(tmp_path, "tiny").differences
    assert round(60 * one.difference.value, 1) == 22.0
    assert one.compared.run_variance is not None
    assert one.compared.run_variance.freedom == 2


def test_compare_says_what_the_report_says(tmp_path: Path) -> None:
    put(tmp_path, [20, 26, 23])
    put(tmp_path, [30, 36, 31], recipe="kd")
    put(tmp_path, [31, 33, 39], recipe="kd2")
    for baseline in (None, "kd"):
        made = {(one.first, one.second): one for one in compare([tmp_path], baseline=baseline)[0]}
        table = table_of(tmp_path, baseline)
        assert set(made) == {(one.first, one.second) for one in table.differences}
        for one in table.differences:
            assert made[one.first, one.second].p == pytest.approx(one.p)
            assert made[one.first, one.second].p_holm == pytest.approx(one.p_holm)


def test_a_baseline_that_is_not_there_is_named_with_what_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path, [20], factors={"level": 1})
    put(tmp_path, [22], recipe="kd", factors={"level": 1})
    with pytest.raises(DataError, match=r"of the arm 'kb'; expected an arm, .*fine, ce, kd"):
        table_of(tmp_path, "kb")
    with pytest.raises(DataError, match=r"no finished run has level 3.*there are 1"):
        table_of(tmp_path, "level=3")
    with pytest.raises(DataError, match="no finished run has the factor 'leval'"):
        table_of(tmp_path, "leval=3")
    assert main(["compare", str(tmp_path), "--baseline", "level=3"]) == 1
    assert "there are 1" in capsys.readouterr().err


def test_a_study_may_declare_factors_as_its_baseline(tmp_path: Path) -> None:
    write_study(tmp_path, {"l1": {"file": "rows.jsonl"}, "l6": {"file": "rows.jsonl"}})
    for level, count in ((6, 30), (1, 20)):
        put(tmp_path, [count, count + 2], arm=f"l{level}", factors={"level": level})
    assert table_of(tmp_path).baseline == "l6", "the first, where nothing is declared"
    path = tmp_path / "study.yaml"
    study = json.loads(path.read_text(encoding="utf-8"))
    study["arms"]["l1"]["factors"], study["arms"]["l6"]["factors"] = {"level": 1}, {"level": 6}
    study |= {"students": ["Qwen2.5-0.5B-Instruct"], "compare": {"baseline": {"level": 1}}}
    path.write_text(json.dumps(study), encoding="utf-8")
    assert table_of(tmp_path).baseline == "level 1"
    assert found(table_of(tmp_path)) == {("l1", "l6"): 10.0}
    assert [one.first for one in compare([tmp_path])[0]] == ["l1"]
    assert not [note for note in table_of(tmp_path).notes if "stands in" in note]
    study["compare"] = {"baseline": "l9"}
    study["arms"]["l9"] = {"file": "rows.jsonl"}
    path.write_text(json.dumps(study), encoding="utf-8")
    wanted = "l9, the study's baseline, has no score: l6 stands in"
    assert wanted in table_of(tmp_path).notes


def test_an_untrained_model_is_the_baseline_of_all_recipes_and_has_none_itself(
    tmp_path: Path,
) -> None:
    add_untrained(tmp_path, "tiny--untouched")
    add_scores(tmp_path, "tiny--untouched", [True] * 10 + [False] * 50)
    put(tmp_path, [20, 22])
    put(tmp_path, [30, 32], recipe="kd")
    assert set(found(table_of(tmp_path, "untouched"))) == {
        ("untouched", "fine · ce"),
        ("untouched", "fine · kd"),
    }
    assert set(found(table_of(tmp_path, "ce"))) == {("fine · ce", "fine · kd")}


def test_two_arms_for_one_baseline_are_none() -> None:
    groups = [("tiny", arm, "ce") for arm in ("a1", "b1", "c6")]
    factors = {("a1", "ce"): {"level": 1}, ("b1", "ce"): {"level": 1}, ("c6", "ce"): {"level": 6}}
    assert bases_of(groups, factors, {"level": 1}) == {}


def test_an_untrained_model_is_compared_with_the_arm_that_factors_choose() -> None:
    groups = [("tiny", "u", "none"), ("tiny", "b", "ce"), ("tiny", "c", "ce")]
    factors: dict[tuple[str, str], dict[str, str | int | float]] = {
        ("b", "ce"): {"level": 6}, ("c", "ce"): {"level": 3}
    }  # fmt: skip
    found = bases_of(groups, factors, {"level": 6})
    assert found == {groups[0]: groups[1], groups[2]: groups[1]}


def test_a_factor_that_a_baseline_names_twice_is_refused(tmp_path: Path) -> None:
    for level in (1, 6):
        put(tmp_path, [30], arm=f"level-{level}", factors={"level": level})
    with pytest.raises(DataError, match="'level' is there twice"):
        compare([tmp_path], baseline="level=1,level=6")
