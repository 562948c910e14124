"""avg@k, pass@k and maj@k against counting by hand and against simulation by enumeration."""

import itertools

import pytest

from cotdistill.grading.repetition import loops
from cotdistill.stats import pass_at_k


@pytest.mark.parametrize("correct", [[True], [False], [True, False, True, False, False, True]])
def test_pass_at_k_is_the_share_of_k_subsets_that_hold_a_right_one(correct: list[bool]) -> None:
    for k in range(1, len(correct) + 1):
        subsets = list(itertools.combinations(correct, k))
        by_hand = sum(any(subset) for subset in subsets) / len(subsets)
        assert pass_at_k.pass_at(correct, k) == pytest.approx(by_hand)


def test_votes_are_counted_by_class_not_by_spelling() -> None:
    same = lambda a, b: {a, b} == {"1/2", "0.5"}  # noqa: E731
    classes = pass_at_k.classes_of(["3", "1/2", "0.5", None], same)
    assert classes == [0, 1, 1, None]
    assert pass_at_k.majority_correct(classes, [False, True, True, False], k=4)


def test_each_spelling_is_compared_once() -> None:
    asked: list[tuple[str, str]] = []

    def same(a: str, b: str) -> bool:
        asked.append((a, b))
        return False

    pass_at_k.classes_of(["a", "b", "a", "b", "a"], same)
    assert asked == [("b", "a")]


def test_nobody_wins_where_nobody_answered() -> None:
    assert not pass_at_k.majority_correct([None, None], [False, False], k=2)


def test_k_beyond_the_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="between 1 and 2"):
        pass_at_k.pass_at([True, False], 3)
    with pytest.raises(ValueError, match="within 2"):
        pass_at_k.majority_correct([0, 1], [True, False], k=3)


@pytest.mark.parametrize(
    ("text", "looping"),
    [
        ("Let me check that again. " * 12, True),
        ("So far so good. " + "The sum is 12, which is even. And so on, " * 6 + "The su", True),
        ("x" * 500, True),
        ("ha ha ha ha ha", False),
        ("1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22", False),
        ("Let me check that again. " * 12 + "The answer is \\boxed{7}, as the sum shows.", False),
        ("", False),
    ],
)
def test_only_an_ending_that_repeats_itself_is_a_loop(text: str, looping: bool) -> None:
    assert loops(text) is looping


def test_a_loop_that_the_text_leaves_again_is_still_a_loop() -> None:
    ending = "".join(f"word{number} is {number * 7919 % 1000}, " for number in range(300))
    assert loops("Wait, the total is 4 hours and t minutes. " * 300 + ending)


def test_a_list_of_cases_is_no_loop() -> None:
    cases = (f"For n = {n}: {n}^2 = {n * n}, remainder {n * n % 97}. " for n in range(1000))
    assert not loops("".join(cases))
