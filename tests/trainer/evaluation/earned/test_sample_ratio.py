"""The sample-ratio test against the exact binomial test, and its power."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from trainer.evaluation.earned.sample_ratio import sample_ratio


@pytest.mark.parametrize(
    ("held_out", "customers", "share"),
    [
        (1000, 10_000, 0.1),
        (1090, 10_000, 0.1),
        (48, 1000, 0.05),
        (260, 500, 0.5),
        (5200, 100_000, 0.05),
    ],
)
def test_the_p_value_is_that_of_the_binomial(held_out: int, customers: int, share: float) -> None:
    exact = stats.binomtest(held_out, customers, share).pvalue
    assert sample_ratio(held_out, customers, share).p_value == pytest.approx(exact, abs=0.03)


def test_a_small_mismatch_of_many_is_found_and_chance_is_not() -> None:
    random = np.random.default_rng(1)
    found = [sample_ratio(int(random.binomial(500_000, 0.495)), 500_000, 0.5) for _ in range(500)]
    assert sum(one.is_broken for one in found) >= 495
    fair = [sample_ratio(int(random.binomial(500_000, 0.5)), 500_000, 0.5) for _ in range(2000)]
    assert sum(one.is_broken for one in fair) <= 8


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        sample_ratio(1, 10, share)


def test_nobody_yet_is_no_alarm() -> None:
    assert not sample_ratio(0, 0, 0.1).is_broken
