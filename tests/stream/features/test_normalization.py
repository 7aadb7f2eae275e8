"""Transforms and z-scores: log1p against numpy's, and the corners of the float range."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.columns import Float32s
from stream.features.normalization import LOG1P, NONE, SIGNLOG, log1p, normalize


def normalized(
    values: list[float], transform: int, mean: float = 0.0, std: float = 1.0, clip: float = math.inf
) -> Float32s:
    width = len(values)
    out = np.full((1, width), np.float32(99))
    normalize(
        np.array([values]), np.array([True]), np.full(width, transform),
        np.full(width, mean), np.full(width, std), clip, out,
    )  # fmt: skip
    first: Float32s = out[0]
    return first


@given(st.floats(-1, math.inf, exclude_min=True))
def test_log1p_is_within_one_ulp(x: float) -> None:
    expected = float(np.log1p(x))
    assert abs(log1p(x) - expected) <= math.ulp(expected) or log1p(x) == expected


def test_log1p_is_within_one_ulp_on_many_magnitudes() -> None:
    """The vectorized loop, not the single call: the same bits."""
    rng = np.random.default_rng(5)
    x = np.concatenate(
        [10.0 ** rng.uniform(-20, 300, 50_000), -(10.0 ** rng.uniform(-20, -1e-9, 9_000))]
    )
    single = np.array([log1p(value) for value in x])
    np.testing.assert_array_less(
        np.abs(single - np.log1p(x)), 1.01 * np.spacing(np.abs(np.log1p(x)))
    )
    np.testing.assert_array_equal(normalized(x.tolist(), LOG1P), single.astype(np.float32))


@pytest.mark.parametrize("x", [0.0, -0.0, 5e-324, 1e-300, math.inf, -1.0, 1.7976931348623157e308])
def test_log1p_at_the_ends(x: float) -> None:
    with np.errstate(divide="ignore"):
        assert log1p(x) == np.log1p(x)


@pytest.mark.parametrize("x", [math.nan, -1.0000001, -math.inf])
def test_log1p_has_no_value_below_minus_one(x: float) -> None:
    assert math.isnan(log1p(x))


@given(st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=40))
def test_transforms(values: list[float]) -> None:
    x = np.array(values)
    signed = np.copysign(np.log1p(np.abs(x)), x)
    np.testing.assert_allclose(normalized(values, SIGNLOG), signed.astype(np.float32), rtol=1e-6)
    np.testing.assert_array_equal(normalized(values, NONE), x.astype(np.float32))
    positive = np.abs(x).tolist()
    assert normalized(positive, LOG1P).tobytes() == normalized(positive, SIGNLOG).tobytes()


def test_z_scores_are_clipped_and_a_missing_value_is_the_mean() -> None:
    values = [3.0, 1.0, 1e9, -1e9, math.inf, -math.inf, math.nan]
    got = normalized(values, NONE, mean=1.0, std=4.0, clip=8.0)
    assert got.tolist() == [0.5, 0.0, 8.0, -8.0, 8.0, -8.0, 0.0]


def test_rows_not_applied_are_zero() -> None:
    out = np.full((2, 3), np.float32(99))
    normalize(
        np.ones((2, 3)), np.array([False, True]), np.full(3, NONE),
        np.zeros(3), np.ones(3), 8.0, out,
    )  # fmt: skip
    assert out.tolist() == [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
