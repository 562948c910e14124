"""Scores by factor: what is compared, what is averaged, and what is left out and said."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from cotdistill.results.collect import collect
from cotdistill.results.effects import ByFactor, best_values, dependence
from cotdistill.results.factors import by_factor
from cotdistill.results.matrix import matrix
from cotdistill.results.report.factor_tables import answers, factor_tables
from cotdistill.results.report.report import report
from run_folder import add_run, add_scores, add_training, add_untrained

Value = str | int


def right(count: int, shift: int = 0, questions: int = 60) -> list[bool]:
    return [(place + shift) % questions < count for place in range(questions)]


def put(
    folder: Path,
    arm: str,
    factors: Mapping[str, Value],
    counts: Sequence[int],
    student: str = "tiny",
    recipe: str = "full",
) -> None:
    """Add an arm with so many right answers of 60 a seed."""
    for seed, count in enumerate(counts, start=1):
        run = f"{student}--{arm}--{recipe}--s{seed}"
        add_run(folder, run, arm, student, seed, factors=factors, recipe=recipe)
        add_training(folder, run)
        add_scores(folder, run, right(count, shift=seed))


def found_in(folder: Path) -> ByFactor:
    return by_factor(matrix(collect(folder)))


def levels(folder: Path, means: Mapping[int, int], student: str = "tiny", **more: Value) -> None:
    for level, count in means.items():
        name = "-".join([f"l{level}", *(str(value) for value in more.values())])
        put(folder, name, {"level": level, **more}, [count, count + 1], student)


def test_a_pivot_has_students_down_and_values_across_in_their_order(tmp_path: Path) -> None:
    levels(tmp_path, {6: 40, 1: 20, 3: 30}, "small")
    levels(tmp_path, {6: 20, 1: 30, 3: 45}, "large")
    (pivot,) = found_in(tmp_path).pivots
    assert (pivot.row_factor, pivot.rows) == ("student", ("small", "large"))
    assert (pivot.column_factor, pivot.columns) == ("level", (1, 3, 6))
    values = [[round(60 * cell.value, 1) for cell in line if cell] for line in pivot.cells]
    assert values == [[20.5, 30.5, 40.5], [30.5, 45.5, 20.5]]
    assert best_values(pivot) == [
        "small: level 6 (67.5 %; next level 3, 50.8 %)",
        "large: level 3 (75.8 %; next level 1, 50.8 %)",
    ]


def test_a_main_effect_is_a_value_less_the_mean_of_the_others(tmp_path: Path) -> None:
    levels(tmp_path, {1: 20, 3: 30, 6: 40})
    found = found_in(tmp_path)
    effects = {one.value: one.found.estimate.value for one in found.main}
    assert effects == pytest.approx({1: -15 / 60, 3: 0.0, 6: 15 / 60})
    strongest = next(one for one in found.main if one.value == 6)
    assert (strongest.against, strongest.arms, strongest.mark) == ((1, 3), 3, "▲")
    assert strongest.found.claim == "arms"
    assert strongest.p_holm is not None
    assert found.interactions == ()


def test_of_two_values_one_effect_is_enough(tmp_path: Path) -> None:
    levels(tmp_path, {1: 20, 3: 30})
    (effect,) = found_in(tmp_path).main
    assert (effect.value, effect.against) == (3, (1,))
    assert effect.found.estimate.value == pytest.approx(10 / 60)


def test_whether_the_best_level_depends_on_the_student_is_answered(tmp_path: Path) -> None:
    levels(tmp_path, {1: 20, 3: 30, 6: 45}, "large")
    levels(tmp_path, {1: 20, 3: 30, 6: 10}, "small")
    found = found_in(tmp_path)
    assert {one.other for one in found.interactions} == {"student"}
    six = next(one for one in found.interactions if one.value == 6)
    assert (six.other_value, six.other_against) == ("small", ("large",))
    # small: 10.5 - (20.5 + 30.5)/2 = -15; large: 45.5 - 25.5 = 20, of 60 questions
    assert six.found.estimate.value == pytest.approx((-15 - 20) / 60)
    assert six.mark == "▼"
    (line,) = answers(found.interactions)
    assert line.startswith(
        "digits: the effect of level depends on the student (level 6 for student small: -58.3"
    )


def test_no_interaction_shown_is_not_called_none(tmp_path: Path) -> None:
    levels(tmp_path, {1: 20, 3: 30}, "large")
    levels(tmp_path, {1: 21, 3: 30}, "small")
    line = dependence(found_in(tmp_path).interactions)
    assert line.startswith("it was not shown that the effect of level depends on the student")


def test_two_factors_are_averaged_over_each_other_and_crossed(tmp_path: Path) -> None:
    levels(tmp_path, {1: 20, 3: 30}, teacher="chatgpt")
    levels(tmp_path, {1: 30, 3: 50}, teacher="gemini")
    found = found_in(tmp_path)
    main = {(one.factor, one.value): one.found.estimate.value for one in found.main}
    assert main == pytest.approx({("level", 3): 15 / 60, ("teacher", "gemini"): 15 / 60})
    (both,) = found.interactions
    assert (both.factor, both.other) == ("level", "teacher")
    assert both.found.estimate.value == pytest.approx(10 / 60)
    assert {(one.row_factor, one.column_factor, one.blocks) for one in found.pivots} == {
        ("student", "level", 2),
        ("student", "teacher", 2),
        ("teacher", "level", 1),
    }


def test_only_blocks_with_all_values_count_and_the_rest_is_said(tmp_path: Path) -> None:
    levels(tmp_path, {1: 20, 3: 30}, teacher="chatgpt")
    levels(tmp_path, {1: 59}, teacher="gemini")  # would make level 1 look better
    found = found_in(tmp_path)
    level = next(one for one in found.main if one.factor == "level")
    assert level.found.estimate.value == pytest.approx(10 / 60)
    assert any("1 of 2 combinations of the other factors lack a value" in n for n in found.notes)


def test_arms_that_differ_in_no_factor_are_not_guessed_about(tmp_path: Path) -> None:
    put(tmp_path, "one", {"level": 1}, [20, 21])
    put(tmp_path, "again", {"level": 1}, [30, 31])
    put(tmp_path, "three", {"level": 3}, [40, 41])
    found = found_in(tmp_path)
    assert found.main == ()
    assert found.notes == ("digits: level: no two arms differ in it alone, so it is not compared",)


def test_recipes_are_never_averaged_over(tmp_path: Path) -> None:
    for recipe, counts in [("full", (20, 30)), ("lora", (25, 50))]:
        for level, count in zip((1, 3), counts, strict=True):
            put(tmp_path, f"l{level}", {"level": level}, [count, count + 1], recipe=recipe)
    found = found_in(tmp_path)
    effects = {one.recipe: one.found.estimate.value for one in found.main if one.factor == "level"}
    assert effects == pytest.approx({"full": 10 / 60, "lora": 25 / 60})
    made = report(tmp_path)
    assert {one.name for one in (tmp_path / "report" / "figures").glob("curve-*.svg")} == {
        "curve-student-level-digits-full.svg",
        "curve-student-level-digits-lora.svg",
    }
    assert "recipe lora" in "".join(one.title for one in made.by_factor)


def test_one_seed_an_arm_compares_models_and_marks_nothing(tmp_path: Path) -> None:
    for level, count in [(1, 10), (3, 50)]:
        put(tmp_path, f"l{level}", {"level": level}, [count])
    found = found_in(tmp_path)
    (effect,) = found.main
    assert (effect.found.claim, effect.mark) == ("models", "")
    tables = factor_tables(found, matrix(collect(tmp_path)))
    assert "only these trained models" in tables[0].table.notes[-1]


def test_an_arm_without_factors_and_an_untouched_model_stay_out_of_the_grid(tmp_path: Path) -> None:
    levels(tmp_path, {1: 20, 3: 30})
    put(tmp_path, "human", {}, [55, 56])
    add_untrained(tmp_path, "tiny--untouched")
    add_scores(tmp_path, "tiny--untouched", right(5))
    (pivot,) = found_in(tmp_path).pivots
    assert pivot.columns == (1, 3)
    made = report(tmp_path, "untouched")
    rows = {row[0]: row for row in made.table.rows}
    assert set(rows) == {"l1", "l3", "human", "untouched"}
    assert rows["human"][made.table.columns.index("mark")] == "▲"


def test_the_report_writes_pivots_curves_and_numbers(tmp_path: Path) -> None:
    levels(tmp_path, {1: 20, 3: 30, 6: 40}, "large")
    levels(tmp_path, {1: 20, 3: 30, 6: 10}, "small")
    made = report(tmp_path)
    figures = tmp_path / "report" / "figures"
    assert (figures / "heat-student-level-digits.svg").is_file()
    curve = (figures / "curve-student-level-digits.svg").read_text(encoding="utf-8")
    assert curve.count("<polyline") == 2
    numbers = (figures / "curve-student-level-digits.csv").read_text(encoding="utf-8")
    assert numbers.splitlines()[0] == "line,level,value,low,high"
    assert len(numbers.splitlines()) == 7
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "## Main effects" in text
    assert "factor_level" in (tmp_path / "report" / "report.csv").read_text(encoding="utf-8")
    assert made.data["main_effects"][0]["factor"] == "level"
    assert len(made.data["interactions"]) == 3


def test_answers_without_any_rationale_are_at_the_zero_of_the_axis(tmp_path: Path) -> None:
    put(tmp_path, "answers", {"level": "answer-only"}, [10, 11])
    levels(tmp_path, {1: 20, 3: 30})
    (pivot,) = found_in(tmp_path).pivots
    assert pivot.columns == ("answer-only", 1, 3)
    report(tmp_path)
    curve = tmp_path / "report" / "figures" / "curve-student-level-digits.csv"
    rows = [line.split(",")[1] for line in curve.read_text(encoding="utf-8").splitlines()]
    assert rows == ["level", "0", "1", "3"]


def test_a_format_that_has_no_level_is_compared_apart(tmp_path: Path) -> None:
    """The CoT-factors grid: six levels in natural language, other formats without a level."""
    for level in (1, 6):
        fields = {"level": level, "format": "natural"}
        put(tmp_path, f"l{level}", fields, [20 + level, 21 + level])
    for name, count in [("bsm", 30), ("rar", 35)]:
        put(tmp_path, name, {"format": name}, [count, count + 1])
    found = found_in(tmp_path)
    values = {(one.factor, one.value) for one in found.main}
    assert values == {("level", 6), ("format", "rar")}
    assert any("format: not everywhere there, so left out: natural" in n for n in found.notes)


def test_formats_that_only_some_levels_have_are_compared_within_those_levels(
    tmp_path: Path,
) -> None:
    """As in the published files: levels 1 to 6 in words, and two of them in other formats too."""
    for level in range(1, 7):
        put(tmp_path, f"l{level}", {"level": level, "format": "natural"}, [20 + level, 21])
    for level in (3, 5):
        for text in ("bsm", "rar"):
            put(tmp_path, f"l{level}{text}", {"level": level, "format": text}, [30, 31])
    found = found_in(tmp_path)
    crossed = [one for one in found.pivots if one.row_factor != "student"]
    assert [(one.row_factor, one.rows) for one in crossed] == [("level", (3, 5))]
    assert crossed[0].columns == ("natural", "bsm", "rar")
    assert {(one.factor, one.other) for one in found.interactions} == {("format", "level")}
