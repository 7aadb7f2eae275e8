"""Uplift curves against a slow twin; ties have no order."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trainer.evaluation.offpolicy.inference import Clusters
from trainer.evaluation.offpolicy.uplift import curve


def _area(predicted: list[float], gain: list[float]) -> tuple[float, float]:
    """AUUC and Qini from the points of the curve, added up by trapezes."""
    n, done, total, points = len(gain), 0, 0.0, [(0.0, 0.0)]
    for score in sorted(set(predicted), reverse=True):
        members = [g for p, g in zip(predicted, gain, strict=True) if p == score]
        done, total = done + len(members), total + sum(members)
        points.append((done / n, total / n))
    area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in itertools.pairwise(points))
    return area, area - points[-1][1] / 2


@given(
    st.lists(
        st.tuples(st.integers(-3, 3), st.floats(-100, 100, allow_nan=False)),
        min_size=2,
        max_size=40,
    )
)
@example([(0, 0.0), (0, 0.0), (0, 1.4e-70)])  # whose sixth power is 0
def test_areas_are_those_of_the_curve(rows: list[tuple[int, float]]) -> None:
    predicted = [float(p) for p, _ in rows]
    gain = [g for _, g in rows]
    found = curve(np.array(predicted), np.array(gain), Clusters(np.arange(len(rows))))
    auuc, qini = _area(predicted, gain)
    assert found.auuc.value == pytest.approx(auuc, abs=1e-9)
    assert found.qini.value == pytest.approx(qini, abs=1e-9)
    assert found.share[-1] == 1.0
    assert found.gain[-1] == pytest.approx(np.mean(gain))


def test_a_constant_model_has_no_qini_whatever_the_order_of_its_rows() -> None:
    random = np.random.default_rng(1)
    gain = np.sort(random.normal(1, 3, 500))
    for order in (np.arange(500), np.arange(500)[::-1], random.permutation(500)):
        found = curve(np.zeros(500), gain[order], Clusters(np.arange(500)))
        assert found.qini.value == pytest.approx(0.0, abs=1e-12)
        assert len(found.share) == 2


def test_harm_is_negative_and_never_above_one_by_a_division() -> None:
    random = np.random.default_rng(2)
    predicted = random.normal(size=1000)
    found = curve(predicted, -1.0 - predicted, Clusters(np.arange(1000)))
    assert found.auuc.value < 0
    assert found.qini.value < 0


def test_bands_hold_the_true_curve() -> None:
    random = np.random.default_rng(3)
    held = 0
    for _ in range(40):
        predicted = random.normal(size=2000)
        gain = predicted + random.normal(0, 5, 2000)
        found = curve(predicted, gain, Clusters(np.arange(2000)))
        true = np.append(0.0, np.cumsum(np.sort(predicted)[::-1]) / 2000)
        at = len(found.share) // 2
        held += found.low[at] <= true[round(found.share[at] * 2000)] <= found.high[at]
    assert held >= 34
