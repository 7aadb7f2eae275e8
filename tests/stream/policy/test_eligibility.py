"""Conditions of strategies: the kernel against a plain loop over Python floats."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stream.policy.eligibility import eligible

COMPARISONS: list[Any] = [
    operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne,
]  # fmt: skip


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_eligible_equals_the_plain_loop(data: st.DataObject) -> None:
    n, columns, strategies = (data.draw(st.integers(low, 4)) for low in (0, 1, 1))
    value = st.sampled_from([-1.0, 0.0, 1.0, math.inf, math.nan])
    raw = data.draw(hnp.arrays(np.float64, (n, columns), elements=value))
    condition = st.tuples(
        st.integers(0, strategies - 1), st.integers(0, columns - 1), st.integers(0, 5),
        st.sampled_from([-1.0, 0.0, 1.0]),
    )  # fmt: skip
    conditions = data.draw(st.lists(condition, max_size=6))
    strategy, column, op = (np.array([c[part] for c in conditions], np.int64) for part in range(3))
    number = np.array([c[3] for c in conditions], np.float64)
    got = eligible(raw, strategy, column, op, number, strategies)
    assert got.dtype == np.bool_
    for i in range(n):
        for s in range(strategies):
            assert got[i, s] == all(
                not math.isnan(raw[i, c]) and COMPARISONS[o](raw[i, c], x)
                for (k, c, o, x) in conditions
                if k == s
            )


def test_a_missing_feature_fails_every_condition() -> None:
    raw = np.array([[math.nan]])
    for op in range(6):
        one = np.zeros(1, np.int64)
        assert not eligible(raw, one, one, np.array([op]), np.zeros(1), 1)[0, 0]
