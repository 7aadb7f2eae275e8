"""Shares to exact probabilities: whole numbers out of 2**32 that sum to 2**32, and the draw among them.

Float shares sum to one but for their rounding, and a draw among them would take the last one a little
too often. Whole numbers say exactly what the draw does, and can be published exactly.
"""

from __future__ import annotations

import numba
import numpy as np

from stream.columns import Float64s, Int64s
from stream.policy.decision import CERTAIN

_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@_inlined
def round_shares(share: Float64s, chance: Int64s) -> None:
    """Rounds shares by the method of largest remainders; of equal remainders the first is rounded up.

    Args:
        share: Of 0 or more, sum 1 but for rounding. Overwritten by the remainders. Shape (m,), float64.
        chance: Set to whole numbers out of `CERTAIN`, which they sum to. Shape (m,), int64.
    """
    left = CERTAIN
    for k in range(len(share)):
        exact = share[k] * np.float64(CERTAIN)  # a power of two: exact
        chance[k] = np.int64(exact)
        share[k] = exact - np.float64(chance[k])
        left -= chance[k]
    if left == 0:
        return
    # Each counts who goes before it: no branch that a processor would have to guess, as sorting has.
    for k in range(len(share)):
        before = 0
        for j in range(k):
            before += share[j] >= share[k]
        for j in range(k + 1, len(share)):
            before += share[j] > share[k]
        chance[k] += before < left


@_inlined
def drawn(chance: Int64s, draw: int) -> int:
    """Which of m a draw from 0 to 2**32 - 1 takes, each with its probability."""
    below = 0
    for k in range(len(chance) - 1):
        below += chance[k]
        if draw < below:
            return k
    return len(chance) - 1
