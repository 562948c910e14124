"""Arms are compared on shared questions; what is said of them is what the runs allow."""

from collections.abc import Sequence

import pytest

from cotdistill.results.arm_comparisons import (
    ArmRuns,
    Difference,
    adjusted,
    difference,
    difference_table,
    pooled_runs,
    score_of,
)
from cotdistill.stats.confidence import wilson
from cotdistill.stats.run_variance import Stratum


def arm(name: str, *runs: Sequence[float], task: str = "digits") -> ArmRuns:
    scores = {
        f"{name}--s{seed}": {f"q{place}": float(value) for place, value in enumerate(run)}
        for seed, run in enumerate(runs, start=1)
    }
    return ArmRuns(name, task, scores)


def right(share: float, shift: int = 0, questions: int = 40) -> list[int]:
    """So many right answers of 40, the hardest questions last, a few of them shifted."""
    count = round(share * questions)
    return [int((place + shift) % questions < count) for place in range(questions)]


def compared(first: ArmRuns, second: ArmRuns, *others: ArmRuns, **more: float) -> Difference:
    stratum = pooled_runs([[one] for one in (first, second, *others)])
    found = difference([first], [second], stratum, names=(first.arm, second.arm), **more)
    assert found is not None
    (one,) = adjusted([found])
    return one


def test_several_seeds_make_a_claim_about_arms() -> None:
    weak = arm("weak", right(0.30), right(0.35), right(0.325))
    strong = arm("strong", right(0.75), right(0.70), right(0.75))
    found = compared(weak, strong)
    assert found.compared.claim == "arms"
    assert (found.mark, found.compared.runs) == ("▲", (3, 3))
    assert found.conclusion.startswith("digits: strong - weak = +40.8 points [+")
    assert "strong is better (p = " in found.conclusion
    assert compared(strong, weak).mark == "▼"


def test_one_seed_each_speaks_of_the_trained_models_and_is_never_marked() -> None:
    found = compared(arm("weak", right(0.3)), arm("strong", right(0.75)))
    assert (found.compared.claim, found.mark) == ("models", "")
    assert found.p_holm is not None
    assert found.p_holm < 0.001
    limit = found.compared.break_even_sd
    assert limit is not None
    assert found.conclusion.endswith(
        "one seed says nothing of the arms, which differ too only if their run sd is under "
        f"{100 * limit:.1f} points"
    )
    assert "is better" not in found.conclusion


def test_a_declared_run_deviation_is_said_to_be_assumed() -> None:
    found = compared(arm("weak", right(0.3)), arm("strong", right(0.75)), run_sd=0.02)
    assert found.mark == "▲"
    assert found.conclusion.endswith("assumes a run sd of 2 points")


def test_few_degrees_of_freedom_are_pointed_out() -> None:
    found = compared(arm("weak", right(0.3)), arm("strong", right(0.5), right(0.55)))
    assert found.compared.runs == (1, 2)
    assert "run variance from 1 degree of freedom only" in found.conclusion


def test_a_diverged_run_is_named_and_the_comparison_made_without_it_too() -> None:
    lost = arm("lost", right(0.6), right(0.1), right(0.65))
    found = compared(arm("weak", right(0.3), right(0.35), right(0.3)), lost)
    assert found.diverged == ("lost--s2",)
    again = found.without_diverged
    assert again is not None
    assert again.runs == (3, 2)
    assert again.difference.value > found.compared.difference.value
    assert "lost--s2 scores under half of its siblings; without: +" in found.conclusion


def test_runs_that_each_diverged_on_another_task_leave_nothing_to_compare_without() -> None:
    lost, fine = right(0.05), right(0.6)
    first = [arm("a", fine, task="one"), arm("a", fine, task="two")]
    second = [arm("b", lost, fine, task="one"), arm("b", fine, lost, task="two")]
    found = difference(first, second, pooled_runs([second]), names=("a", "b"))
    assert found is not None
    assert (found.diverged, found.without_diverged) == (("b--s1", "b--s2"), None)


def test_an_unstable_arm_is_named() -> None:
    steady = [arm(name, right(0.5), right(0.525)) for name in ("a", "b", "c", "d")]
    wild = arm("wild", right(0.35), right(0.65))
    found = compared(steady[0], wild, *steady[1:])
    assert found.compared.unstable == ("wild",)
    assert "runs of wild vary more than the others', so their own count" in found.conclusion


def test_only_questions_that_all_runs_share_count() -> None:
    short = arm("short", right(0.5)[:30], right(0.5))
    found = compared(short, arm("long", right(0.6), right(0.65)[:35]))
    assert found.compared.questions == 30
    stratum = Stratum({})
    away = ArmRuns("away", "digits", {"away--s1": {"other": 1.0}})
    assert difference([short], [away], stratum, names=("short", "away")) is None


def test_five_questions_are_too_few_to_conclude_from() -> None:
    first = arm("first", [0.1, 0.2, 0.1, 0.2, 0.1], [0.1, 0.2, 0.1, 0.2, 0.1])
    second = arm("second", [0.9, 0.9, 0.8, 0.9, 0.9], [0.9, 0.9, 0.8, 0.9, 0.9])
    found = compared(first, second)
    assert found.mark == ""
    assert "5 questions are too few to conclude from" in found.conclusion


def test_what_cannot_be_tested_is_said() -> None:
    same = compared(arm("a", right(0.5), right(0.5)), arm("b", right(0.5), right(0.5)))
    assert same.conclusion.endswith("no test: nothing varies")
    one = compared(arm("a", [1], [1]), arm("b", [0], [1]))
    assert one.conclusion.endswith("no test: fewer than two questions")
    assert (one.p_holm, one.mark) == (None, "")


def test_a_mean_over_tasks_needs_every_run_in_every_task() -> None:
    first = [arm("a", right(0.3), right(0.4), task=task) for task in ("one", "two")]
    second = [arm("b", right(0.6), right(0.7), task=task) for task in ("one", "two")]
    stratum = pooled_runs([first, second])
    found = difference(first, second, stratum, names=("a", "b"))
    assert found is not None
    assert found.task == "mean of 2 tasks"
    assert (found.compared.questions, found.compared.claim) == (80, "arms")
    partial = [first[0], first[1].without(["a--s2"])]
    assert difference(partial, second, stratum, names=("a", "b")) is None
    assert "a" not in pooled_runs([partial, second]).spreads


def test_the_table_holds_runs_their_deviation_and_the_reason_for_two_methods() -> None:
    several = compared(
        arm("a", right(0.3), right(0.4), right(0.35)), arm("b", right(0.6), right(0.55))
    )
    table = difference_table([several])
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert (row["runs"], row["claim about"], row["run df"]) == ("3 and 2", "arms", "3")
    assert row["p Holm"] == row["p"]
    assert " to " in row["95 % range"]
    assert any("p and interval agree" in note for note in table.notes)
    single = difference_table([compared(arm("a", right(0.3)), arm("b", right(0.4)))])
    assert "run sd" not in single.columns
    assert any("near p = 0.05 the two can disagree" in note for note in single.notes)


def test_the_score_of_one_seed_is_that_of_a_model_and_of_several_that_of_an_arm() -> None:
    one, two = arm("one", right(0.5)), arm("two", right(0.4), right(0.6))
    stratum = pooled_runs([[one], [two]])
    assert score_of(one, stratum) == wilson(20, 40)
    several = score_of(two, stratum)
    assert several.value == pytest.approx(0.5)
    assert several.high - several.low > 0.3
