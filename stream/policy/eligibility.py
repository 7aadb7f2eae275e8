"""Who may get which strategy: compiled conditions, held against features.

Why a strategy was not taken, as codes: `Dropped` in `stream.policy.decision`.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from stream.columns import Bools, Float64s, Int64s
from stream.policy.decision import Dropped


def eligible(
    raw: Float64s,
    strategy: Int64s,
    column: Int64s,
    op: Int64s,
    number: Float64s,
    strategies: int,
) -> Bools:
    """Which strategies each customer may get: those whose conditions all hold.

    Args:
        raw: Features before transform and normalization. Shape (n, R), float64.
        strategy: Strategy of each condition. Shape (c,).
        column: Feature of each condition. Shape (c,).
        op: Comparison: 0 to 5 for < <= > >= == !=. Shape (c,).
        number: What the feature is compared with. Shape (c,), float64.
        strategies: Number of strategies S.

    Returns:
        Shape (n, S). A condition on NaN fails, whatever the comparison.
    """
    out = np.ones((len(raw), strategies), np.bool_)
    _eligible(raw, strategy, column, op, number, out)
    return out


def only_identified(allowed: Bools, identified: Bools, asks: Bools) -> Bools:
    """Which strategies each customer may get, of those that ask for an identified customer.

    Args:
        allowed: What other conditions allow. Shape (n, S), bool.
        identified: Whether each customer is identified. Shape (n,), bool.
        asks: Which strategies ask for it. Shape (S,), bool.

    Returns:
        Shape (n, S), bool.
    """
    return allowed & (identified[:, None] | ~asks)


@numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def exclude_ineligible(eligible: Bools, i: int, dropped: npt.NDArray[np.int8]) -> None:
    """Drops what customer i may not get: row i of `dropped`, both of shape (n, S)."""
    for k in range(dropped.shape[1]):
        # Without a branch: compiled to a few vector instructions.
        out = (dropped[i, k] == Dropped.CHOSEN) & (not eligible[i, k])
        dropped[i, k] += out * Dropped.NOT_ELIGIBLE


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _eligible(
    raw: Float64s, strategy: Int64s, column: Int64s, op: Int64s, number: Float64s, out: Bools
) -> None:
    for i in range(len(raw)):
        for c in range(len(strategy)):
            value = raw[i, column[c]]
            if op[c] == 0:
                holds = value < number[c]
            elif op[c] == 1:
                holds = value <= number[c]
            elif op[c] == 2:
                holds = value > number[c]
            elif op[c] == 3:
                holds = value >= number[c]
            elif op[c] == 4:
                holds = value == number[c]
            else:
                holds = value < number[c] or value > number[c]  # unlike !=, fails for NaN
            out[i, strategy[c]] &= holds
