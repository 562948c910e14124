"""Paired tests: against scipy and hand formulas, and by simulation of false findings."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from cotdistill.errors import DataError
from cotdistill.stats.significance import (
    benjamini_hochberg,
    detectable,
    fewest_flips,
    holm,
    kappa,
    least_significant,
    mcnemar,
    paired,
    paired_permutation,
)


@pytest.mark.parametrize(("b", "c"), [(9, 1), (6, 0), (5, 0), (3, 3), (120, 90), (2000, 1900)])
def test_mcnemar_is_the_exact_binomial_test(b: int, c: int) -> None:
    assert mcnemar(b, c) == pytest.approx(stats.binomtest(b, b + c, 0.5).pvalue, rel=1e-9)
    assert mcnemar(b, c) == mcnemar(c, b)


def test_no_discordant_question_says_nothing() -> None:
    assert mcnemar(0, 0) == paired_permutation([0.0, 0.0]) == 1.0
    with pytest.raises(DataError, match="-1"):
        mcnemar(-1, 2)
    with pytest.raises(DataError, match="no questions"):
        paired_permutation([])


def test_the_permutation_test_counts_every_sign_pattern() -> None:
    differences = [0.25, -0.5, 0.75, 0.25, 1.0, -0.25, 0.5, 0.5]
    seen = abs(sum(differences))
    sums = [
        abs(sum(sign * value for sign, value in zip(signs, differences, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(differences))
    ]
    expected = sum(value >= seen for value in sums) / len(sums)
    assert paired_permutation(differences) == pytest.approx(expected, rel=1e-12)


def test_the_permutation_test_agrees_with_scipy() -> None:
    generator = np.random.default_rng(5)
    first, second = generator.binomial(4, 0.5, 40) / 4, generator.binomial(4, 0.65, 40) / 4
    theirs = stats.permutation_test(
        (second, first),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=50_000,
        vectorized=True,
        rng=np.random.default_rng(6),
    )
    ours = paired_permutation((second - first).tolist())
    assert ours == pytest.approx(theirs.pvalue, rel=0.1)


def test_values_off_the_grid_are_drawn_and_agree_with_the_exact_test() -> None:
    differences = [0.25, -0.5, 0.75, 0.25, 1.0, -0.25, 0.5, 0.5, 0.25, 0.5]
    exact = paired_permutation(differences)
    drawn = paired_permutation([value * math.pi for value in differences], seed=1)
    assert drawn == pytest.approx(exact, rel=0.1)
    assert drawn != exact


def test_a_hundred_thousand_differences_are_drawn_like_any_others() -> None:
    """Values off any grid; so many make their sum normal, which says what p must be."""
    values = np.random.default_rng(0).normal(0.004, 1, 100_000)
    z = values.sum() / np.sqrt((values**2).sum())
    expected = 2 * stats.norm.sf(abs(z))
    assert 0.05 < expected < 0.5
    assert paired_permutation(values.tolist(), seed=3) == pytest.approx(expected, abs=0.012)


@pytest.mark.parametrize(("questions", "repeats"), [(30, 1), (40, 4), (500, 1), (500, 16)])
def test_false_findings_by_simulation(questions: int, repeats: int) -> None:
    """Two students of equal skill, questions of unequal difficulty: 5 % is the most that may."""
    generator = np.random.default_rng(questions * repeats)
    rounds, found = (150, 0) if repeats == 16 else (600, 0)
    for _ in range(rounds):
        chance = generator.beta(1, 1, size=questions)
        first, second = (generator.binomial(repeats, chance) / repeats for _ in range(2))
        if repeats == 1:
            p = mcnemar(int(((first - second) > 0).sum()), int(((second - first) > 0).sum()))
        else:
            p = paired_permutation((second - first).tolist())
        found += p < 0.05
    allowed = 0.05 + 3 * math.sqrt(0.05 * 0.95 / rounds)
    assert found / rounds <= allowed


def test_holm_and_benjamini_hochberg() -> None:
    generator = np.random.default_rng(2)
    p_values = (generator.random(25) ** 3).tolist()
    theirs = stats.false_discovery_control(p_values)
    assert benjamini_hochberg(p_values) == pytest.approx(theirs.tolist())
    assert holm([0.04, 0.01, 0.03, 0.005]) == pytest.approx([0.06, 0.03, 0.06, 0.02])
    assert all(a >= b for a, b in zip(holm(p_values), benjamini_hochberg(p_values), strict=True))
    assert holm([]) == benjamini_hochberg([]) == []


def test_what_could_have_been_seen() -> None:
    assert fewest_flips() == 6
    assert mcnemar(6, 0) < 0.05 <= mcnemar(5, 0)
    assert least_significant(40, 6) == 6 / 40
    assert least_significant(40, 5) is None
    assert least_significant(40, 0) is None


@pytest.mark.parametrize(("questions", "spread"), [(500, 0.5), (500, 0.3)])
def test_a_detectable_difference_is_found_four_times_in_five(questions: int, spread: float) -> None:
    true = detectable(questions, spread)
    generator = np.random.default_rng(9)
    values = generator.normal(true, spread, size=(4000, questions))
    found = stats.ttest_1samp(values, 0, axis=1).pvalue < 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.03)
    assert detectable(questions, spread, tests=10) > true
    with pytest.raises(DataError, match="0 questions"):
        detectable(0, 0.5)


def test_kappa_is_zero_by_chance_and_one_in_agreement() -> None:
    assert kappa(10, 0, 0, 30) == 1.0
    assert kappa(25, 25, 25, 25) == 0.0
    assert kappa(10, 0, 0, 0) is None
    assert kappa(0, 0, 0, 0) is None


def test_statsmodels_agrees_where_it_is_installed() -> None:
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    many = pytest.importorskip("statsmodels.stats.multitest")
    rater = pytest.importorskip("statsmodels.stats.inter_rater")
    for b, c in [(9, 1), (3, 12), (40, 61)]:
        theirs = tables.mcnemar([[50, b], [c, 50]], exact=True).pvalue
        assert mcnemar(b, c) == pytest.approx(theirs, rel=1e-9)
    p_values = [0.001, 0.04, 0.03, 0.2, 0.004, 0.04]
    assert holm(p_values) == pytest.approx(many.multipletests(p_values, method="holm")[1].tolist())
    theirs = many.multipletests(p_values, method="fdr_bh")[1].tolist()
    assert benjamini_hochberg(p_values) == pytest.approx(theirs)
    assert kappa(20, 5, 10, 15) == pytest.approx(rater.cohens_kappa([[20, 5], [10, 15]]).kappa)


def test_the_paired_test_is_chosen_by_what_the_differences_are() -> None:
    right_or_wrong = paired([1.0, 1.0, -1.0, 0.0])
    assert (right_or_wrong.test, right_or_wrong.p) == ("McNemar", mcnemar(1, 2))
    assert (right_or_wrong.wins, right_or_wrong.ties, right_or_wrong.losses) == (2, 1, 1)
    shares = paired([0.25, 0.5, -0.25, 0.0])
    assert (shares.test, shares.p) == (
        "permutation",
        paired_permutation([0.25, 0.5, -0.25, 0.0]),
    )
    assert paired([0.5]).visible == 1.0
    with pytest.raises(DataError, match="no questions"):
        paired([])
