"""Points of the curves in each resample: what the bands around them are made of.

The examples are cut into steps of equal weight, once, by the scores of the sample. In a resample the
steps have other weights, so its curves are read between the cuts, where they are straight, at the
same places for all: a band says how high the curve may be there (Fawcett 2006, "An introduction to
ROC analysis", section 8: vertical averaging).
"""

from __future__ import annotations

import numpy as np

from stream.columns import Float64s
from trainer.evaluation.kernels import POSITIVE, WEIGHT

AT: Float64s = np.array([0.02, *np.linspace(0.05, 1.0, 20)])
"""Where gain, ROC and precision-recall curves have points: shares of the examples, false positive
rates, recalls."""
TENTHS = 10
GAIN, ROC, PR, LIFT = (
    slice(0, len(AT)),
    slice(len(AT), 2 * len(AT)),
    slice(2 * len(AT), 3 * len(AT)),
    slice(3 * len(AT), 3 * len(AT) + TENTHS),
)
"""Rows of the points: share of the positives among the highest scores, recall, precision, and how many
times more positives a tenth of the examples has than an average one."""
POINTS = 3 * len(AT) + TENTHS


def points(cuts: Float64s) -> Float64s:
    """The points in each of w resamples, NaN where they are not defined.

    Args:
        cuts: Sums of the steps, the highest scores first, of `kernels.tally`.
            Shape (CUTS, BIN_SUMS, w), float64.

    Returns:
        Shape (POINTS, w), float64.
    """
    weight, positive = _from_nobody(cuts[:, WEIGHT]), _from_nobody(cuts[:, POSITIVE])
    negative = weight - positive
    found = np.full((POINTS, cuts.shape[-1]), np.nan)
    for r in range(cuts.shape[-1]):
        positives, negatives = positive[-1, r], negative[-1, r]
        if positives <= 0:
            continue
        share, recall = weight[:, r] / weight[-1, r], positive[:, r] / positives
        found[GAIN, r] = np.interp(AT, share, recall)
        # The least weight that reaches a recall: np.interp takes the last of equal places.
        reached = np.interp(-AT, -recall[::-1], weight[::-1, r])
        found[PR, r] = AT * positives / reached
        tenths = np.interp(np.linspace(0.0, 1.0, TENTHS + 1), share, recall)
        found[LIFT, r] = TENTHS * np.diff(tenths)
        if negatives > 0:
            found[ROC, r] = np.interp(AT, negative[:, r] / negatives, recall)
    return found


def _from_nobody(steps: Float64s) -> Float64s:
    """Running sums, from 0 on. Shape (1 + CUTS, w)."""
    sums: Float64s = np.concatenate([np.zeros((1, steps.shape[1])), np.cumsum(steps, axis=0)])
    return sums
