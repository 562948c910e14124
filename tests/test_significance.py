"""Paired tests: against scipy, and by simulation of their false-positive rate."""

import pytest
from scipy import stats

from cotdistill.errors import DataError
from cotdistill.reason.significance import mcnemar


@pytest.mark.parametrize(("b", "c"), [(9, 1), (6, 0), (5, 0), (3, 3), (120, 90), (2000, 1900)])
def test_mcnemar_is_the_exact_binomial_test(b: int, c: int) -> None:
    assert mcnemar(b, c) == pytest.approx(stats.binomtest(b, b + c, 0.5).pvalue, rel=1e-9)
    assert mcnemar(b, c) == mcnemar(c, b)


def test_no_discordant_question_says_nothing() -> None:
    assert mcnemar(0, 0) == 1.0
    with pytest.raises(DataError, match="-1"):
        mcnemar(-1, 2)
