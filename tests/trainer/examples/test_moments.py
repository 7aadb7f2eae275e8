"""Statistics of the training part: exact, of known values, and applied as the worker does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.campaign.file import Campaign
from stream.features.normalization import LOG1P, NONE, SIGNLOG
from stream.features.plan import FeaturePlan
from tests.trainer.examples.dataset_harness import part_of
from trainer.examples.moments import CLIP, Moments, fit_normalization, transformed

BLOCKS = st.lists(st.integers(0, 40), min_size=1, max_size=6)


@given(sizes=BLOCKS, seed=st.integers(0, 99))
def test_moments_do_not_depend_on_how_rows_are_cut(sizes: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(1e6, 1.0, (sum(sizes), 3))
    values[random.random(values.shape) < 0.2] = np.nan
    values[random.random(values.shape) < 0.1] = -np.inf
    whole = Moments.of(values)
    cuts = np.split(values, np.cumsum(sizes)[:-1])
    left = Moments.none(3)
    for block in cuts:
        left = left.merge(Moments.of(block))
    right = Moments.none(3)
    for block in reversed(cuts):
        right = Moments.of(block).merge(right)
    known = np.where(np.isfinite(values), values, np.nan)
    for got in (whole, left, right):
        for column in range(3):
            kept = known[~np.isnan(known[:, column]), column]
            assert got.count[column] == len(kept)
            if len(kept):
                assert got.mean[column] == pytest.approx(kept.mean(), rel=1e-14)
                expected = ((kept - kept.mean()) ** 2).sum()
                assert got.squares[column] == pytest.approx(expected, rel=1e-9, abs=1e-8)


def test_a_large_mean_does_not_swallow_the_spread() -> None:
    """A sum of squares loses it: 1e12 with a spread of 1 has no digit left in float32."""
    values = np.random.default_rng(0).normal(1e6, 1.0, (200_000, 1)).astype(np.float32)
    naive = np.mean(values**2) - np.mean(values) ** 2
    assert not 0.9 < naive < 1.1
    found = fit_normalization(part_of(values.astype(np.float64)))
    assert found.std[0] == pytest.approx(values.astype(np.float64).std(), rel=1e-9)
    assert found.std[0] == pytest.approx(1.0, rel=0.01)


def test_normalization_knows_the_known_values_of_its_rows_alone(
    campaign: Campaign, plan: FeaturePlan
) -> None:
    random = np.random.default_rng(1)
    values = random.gamma(1.0, 30.0, (500, len(plan.names)))
    last = plan.names.index("revenue_last")
    values[::3, last] = np.nan
    values[:, 0] = 5.0
    part = part_of(values, transforms=plan.transform_codes.tolist())
    normalization = fit_normalization(part)
    x = np.concatenate([x for _, x in replace(part, normalization=normalization).blocks()])
    known = ~np.isnan(values[:, last])
    assert np.abs(x.mean(axis=0)).max() < 1e-5
    assert np.abs(x[known][:, last].std() - 1) < 1e-5
    assert (x[~known][:, last] == 0).all()
    assert normalization.std[0] == 1.0  # a feature that never moved keeps its scale
    assert np.abs(x[:, 0]).max() < 1e-9
    assert normalization.clip == CLIP
    far = replace(part, normalization=normalization, values=values * 1e30)
    assert max(np.abs(x).max() for _, x in far.blocks()) == CLIP


def test_a_constant_keeps_its_scale_wherever_it_is() -> None:
    values = np.full((70_001, 4), [0.0, 1e-3, 1e9 / 3, -1e13 / 7])
    values[:, 1] += np.arange(70_001) % 2 * 1e-3  # not constant
    std = fit_normalization(part_of(values)).std
    assert std.tolist() == [1.0, pytest.approx(5e-4, rel=1e-3), 1.0, 1.0]


def test_values_are_transformed_as_the_worker_does() -> None:
    values = np.array(
        [[-2.0, -3.0, np.nan], [0.5, 0.0, 7.0], [np.nan, 5.0, -1.0], [-1.0, 1.0, 0.0]]
    )
    got = transformed(values, np.array([LOG1P, SIGNLOG, NONE]))
    expected = [
        [np.nan, -np.log(4), np.nan], [np.log(1.5), 0, 7], [np.nan, np.log(6), -1],
        [-np.inf, np.log(2), 0],
    ]  # fmt: skip
    np.testing.assert_allclose(got, expected, rtol=1e-15)
    # Once more by the worker's call, in float32 and of the plan's constants.
    part = part_of(values, transforms=[LOG1P, SIGNLOG, NONE])
    ((_, x),) = part.blocks()
    known = np.isfinite(got)
    assert x[known].tolist() == got[known].astype(np.float32).tolist()
