"""Mixtures are exact, seeded, nested and matched, and refuse what they cannot meet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotdistill.corpus.mixing.mixture import (
    apportion,
    interleaved,
    length_matched_mixture,
    matched_mixture,
    mixture,
    mixture_of_tokens,
)
from cotdistill.errors import DataError

WEIGHTS = st.dictionaries(
    st.sampled_from("abcd"), st.floats(0.001, 100, allow_nan=False), min_size=1
)


@given(WEIGHTS, st.integers(0, 10_000))
def test_apportioned_counts_add_up_and_stay_within_one_of_their_share(
    weights: dict[str, float], total: int
) -> None:
    counts = apportion(weights, total)
    assert sum(counts.values()) == total
    for source, count in counts.items():
        assert abs(count - total * weights[source] / sum(weights.values())) < 1 + 1e-6


def test_mix_long_of_the_paper_has_1077_long_rows_of_5383() -> None:
    sizes = {"long": 5383, "short": 5383}
    drawn = mixture(sizes, {"long": 0.2, "short": 0.8}, 5383, seed=42)
    assert [len(drawn["long"]), len(drawn["short"])] == [1077, 4306]
    assert len(set(drawn["long"])) == 1077


@pytest.mark.parametrize("seed", [0, 1, 42])
def test_the_long_rows_of_the_smaller_weight_are_among_those_of_the_larger(seed: int) -> None:
    sizes = {"long": 500, "short": 500}
    for fewer, more in [(0.1, 0.2), (0.2, 0.4), (0.4, 1.0)]:
        small = mixture(sizes, {"long": fewer, "short": 1 - fewer}, 500, seed)
        large = mixture(sizes, {"long": more, "short": 1 - more}, 500, seed)
        assert set(small["long"]) < set(large["long"])


def test_the_draw_never_changes_from_release_to_release() -> None:
    drawn = mixture({"a": 1000, "b": 1000}, {"a": 1, "b": 1}, rows=6, seed=7)
    assert drawn == {"a": [918, 117, 985], "b": [684, 185, 124]}


def test_another_seed_draws_other_rows() -> None:
    sizes = {"a": 1000}
    assert mixture(sizes, {"a": 1}, 10, seed=1) != mixture(sizes, {"a": 1}, 10, seed=2)


def test_a_mix_that_cannot_be_met_says_the_most_that_can_be() -> None:
    with pytest.raises(
        DataError, match=r"100 rows asked, 30 there.*at most 60 rows in all"
    ) as info:
        mixture({"a": 30, "b": 300}, {"a": 1, "b": 1}, rows=200, seed=0)
    assert len(info.value.faults) == 1
    most = mixture({"a": 30, "b": 300}, {"a": 1, "b": 1}, rows=60, seed=0)
    assert len(most["a"]) == 30
    with pytest.raises(DataError):
        mixture({"a": 30, "b": 300}, {"a": 1, "b": 1}, rows=62, seed=0)


@given(WEIGHTS, st.integers(1, 60))
def test_the_most_that_is_offered_can_be_met(weights: dict[str, float], rows: int) -> None:
    sizes = {source: 7 + place for place, source in enumerate(weights)}
    try:
        mixture(sizes, weights, rows, seed=0)
    except DataError as error:
        most = int(str(error).split("at most ")[1].split()[0])
        assert most < rows
        mixture(sizes, weights, most, seed=0)


def test_with_replacement_a_small_source_is_used_evenly() -> None:
    drawn = mixture({"a": 3}, {"a": 1}, rows=7, seed=0, replace=True)["a"]
    assert sorted(drawn.count(row) for row in range(3)) == [2, 2, 3]


def test_every_unknown_source_and_bad_weight_is_named_at_once() -> None:
    with pytest.raises(DataError) as info:
        mixture({"long": 3, "shrt": 3}, {"long": 1, "short": 1}, 2, seed=0)
    assert [fault.place for fault in info.value.faults] == ["mix.short", "mix.shrt"]
    with pytest.raises(DataError) as info:
        apportion({"a": -1, "b": float("nan")}, 2)
    assert len(info.value.faults) == 2


def test_a_token_budget_is_filled_to_within_a_row_and_nested() -> None:
    tokens = {"a": [10, 20, 30, 40] * 25, "b": [7] * 100}
    drawn = mixture_of_tokens(tokens, {"a": 1, "b": 1}, budget=1000, seed=3)
    spent = {source: sum(tokens[source][row] for row in rows) for source, rows in drawn.items()}
    assert 460 < spent["a"] <= 500
    assert spent["b"] == 497
    more = mixture_of_tokens(tokens, {"a": 3, "b": 1}, budget=1000, seed=3)
    assert set(drawn["a"]) < set(more["a"])
    with pytest.raises(DataError, match="at most 1401 tokens"):
        mixture_of_tokens(tokens, {"a": 1, "b": 1}, budget=2000, seed=3)


def test_matched_mixtures_hold_the_same_questions_whatever_the_weights() -> None:
    questions = {"long": list("abcdefghij"), "short": list("jihgfedcbaxyz")}
    drawn_questions = []
    for weight in (0.0, 0.2, 0.5, 1.0):
        drawn = matched_mixture(questions, {"long": weight, "short": 1 - weight}, 5, seed=1)
        drawn_questions.append(
            sorted(questions[s][row] for s, rows in drawn.items() for row in rows)
        )
        assert len(drawn["long"]) == round(5 * weight + 1e-9)
    assert drawn_questions[0] == drawn_questions[1] == drawn_questions[2] == drawn_questions[3]
    with pytest.raises(DataError, match="at most 10 rows"):
        matched_mixture(questions, {"long": 1, "short": 1}, 11, seed=1)


def test_length_matched_mixtures_have_nearly_equal_lengths() -> None:
    lengths = {"long": list(range(100, 1100)), "short": list(range(50, 650))}
    means = []
    for weight in (0.0, 0.5, 1.0):
        drawn = length_matched_mixture(lengths, {"long": weight, "short": 1 - weight}, 200, seed=1)
        taken = [lengths[source][row] for source, rows in drawn.items() for row in rows]
        assert len(taken) == 200
        means.append(sum(taken) / 200)
    assert max(means) / min(means) < 1.02


def test_the_written_order_mixes_the_sources() -> None:
    order = interleaved({"a": list(range(50)), "b": list(range(50))}, seed=0)
    assert sorted(order) == [(source, row) for source in "ab" for row in range(50)]
    assert {source for source, _ in order[:20]} == {"a", "b"}
