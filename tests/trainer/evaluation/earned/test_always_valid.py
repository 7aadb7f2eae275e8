"""Looked at daily for half a year: rarely wrong at any time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trainer.evaluation.earned.always_valid import half_width


def _false_alarms(histories: int, *, always: bool) -> int:
    """Experiments without an effect in which some day's interval excludes 0."""
    alarms = 0
    for seed in range(histories):
        random = np.random.default_rng(seed)
        customers, days = 2000, 180
        spend = random.gamma(0.5, 1.0, customers)  # some buy much more often than others
        arm = np.where(random.random(customers) < 0.1, 10.0, -10 / 9)  # a tenth is held out
        total = np.cumsum(random.poisson(spend[:, np.newaxis] / 60, (customers, days)), axis=1)
        part = arm[:, np.newaxis] * (total - total.mean(axis=0))
        mean, error = part.mean(axis=0), part.std(axis=0, ddof=1) / math.sqrt(customers)
        wide = half_width(1.0, customers) if always else 1.96
        alarms += bool((np.abs(mean[5:]) > wide * error[5:]).any())
    return alarms


def test_daily_looks_raise_few_false_alarms() -> None:
    alarms = _false_alarms(150, always=True)
    assert alarms <= 15  # 5 % of 150 are 7.5; more than 15 has probability 0.005
    assert _false_alarms(40, always=False) > 5


def test_independent_days_raise_few_false_alarms() -> None:
    """The harder case: every day new customers, so that every day is another chance to be wrong."""
    alarms = 0
    for seed in range(500):
        random = np.random.default_rng(seed)
        daily = random.normal(size=(180, 100))
        count = 100 * np.arange(1, 181)
        mean = np.cumsum(daily.sum(axis=1)) / count
        widths = np.array([half_width(1 / math.sqrt(n), int(n)) for n in count])
        alarms += bool((np.abs(mean) > widths).any())
    assert alarms <= 38  # of 500, 25 expected at most


def test_an_effect_is_found() -> None:
    assert half_width(0.01, 5000) < 0.035
    assert half_width(0.01, 5000) > 1.96 * 0.01


@pytest.mark.parametrize("customers", [0, 1, 10**9])
def test_any_number_of_customers_has_a_width(customers: int) -> None:
    assert half_width(1.0, customers) > 2.0
