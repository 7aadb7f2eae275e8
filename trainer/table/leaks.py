"""Columns that give the outcome away, since they came after it.

Rules of this file
1. Told is only what chance does not explain: where all rows on one side of the outcome have one value, and
   the others do not, with a probability below a millionth if the column knew nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from stream.columns import Bools, Float64s

_CHANCE_MAX = 1e-6


def leaks(values: Float64s, names: Sequence[str], outcome: Bools) -> tuple[str, ...]:
    """The features that came afterwards, by all appearances.

    Args:
        values: Features of some rows. Shape (n, F), float64, NaN where missing.
        names: Of the features.
        outcome: Shape (n,), bool.
    """
    yes = int(outcome.sum())
    if yes in (0, len(outcome)):
        return ()
    known = np.where(np.isnan(values), -np.inf, values)
    return tuple(
        name
        for column, name in zip(known.T, names, strict=True)
        if _says(column, outcome) or _says(column, ~outcome)
    )


def _says(column: Float64s, side: Bools) -> bool:
    """Whether all rows beside a side have one value, and rows of the side have others."""
    beside = column[~side]
    if (beside != beside[0]).any():
        return False
    others = int((column != beside[0]).sum())
    # Each of the rows with another value is on this side by chance with the share of the side.
    return others > 0 and others * math.log(side.mean()) < math.log(_CHANCE_MAX)
