"""Sums over ranked examples, for many resamples at once.

Rules of this file
1. An example is read once for `WIDTH` resamples, which are neighbours in memory: the loops over them
   become vector instructions, and a customer's counts are few cache lines.
2. Examples with equal scores are one step: nothing depends on their order.
3. What a resample does not change is read into scalars before the loop over resamples: numba cannot
   know that no store changes it, and would not vectorize (2.1 instead of 0.9 ns a step).
4. The counts come as bytes: a customer is never drawn 256 times.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from stream.columns import Bools, Float64s, Int32s, Int64s

WIDTH = 128
"""Resamples of one call."""

LOSS_NEGATIVE, LOSS_POSITIVE, BRIER, PREDICTED, HIT, ROC, PR = range(7)
"""Rows of the sums: log loss of negatives and of positives, squared errors, weight predicted to be
positive, of it rightly, and the areas under the ROC curve (times positives and negatives) and under
the precision-recall curve (times positives)."""
SUMS = PR + 1

WEIGHT, SCORE, POSITIVE = range(3)
"""Sums of each calibration bin: weights, weighted scores, weights of positives."""
BIN_SUMS = POSITIVE + 1

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_inline = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@_jit
def tally(
    counts: npt.NDArray[np.uint8],
    customer: Int32s,
    weight: Float64s,
    positive: Bools,
    score: Float64s,
    loss: Float64s,
    predicted: Bools,
    bin_stop: Int64s,
    sums: Float64s,
    bins: Float64s,
) -> None:
    """Adds up what the metrics are made of.

    Args:
        counts: How often each resample has each customer. Shape (C, WIDTH), uint8.
        customer: Of each example, the highest score first. Shape (n,), int32.
        weight: Shape (n,), float64.
        positive: Shape (n,), bool.
        score: Falling. Shape (n,), float64.
        loss: Shape (n,), float64.
        predicted: Whether the score passes the threshold. Shape (n,), bool.
        bin_stop: End of each calibration bin; equal scores are in one bin. Shape (b,), int64.
        sums: Added to. Shape (SUMS, WIDTH), float64.
        bins: Added to. Shape (b, BIN_SUMS, WIDTH), float64.
    """
    step, above, hits = np.zeros((2, WIDTH)), np.zeros(WIDTH), np.zeros(WIDTH)
    i = 0
    for b in range(len(bin_stop)):
        while i < bin_stop[b]:
            now, any_positive = score[i], 0
            while i < bin_stop[b] and score[i] == now:
                kind = int(positive[i])
                any_positive |= kind
                c, size, lost, error = customer[i], weight[i], loss[i], (now - kind) ** 2
                for r in range(WIDTH):
                    w = size * counts[c, r]
                    step[kind, r] += w
                    sums[kind, r] += w * lost
                    sums[BRIER, r] += w * error
                    bins[b, WEIGHT, r] += w
                    bins[b, SCORE, r] += w * now
                if predicted[i]:
                    for r in range(WIDTH):
                        w = size * counts[c, r]
                        sums[PREDICTED, r] += w
                        sums[HIT, r] += w * kind
                i += 1
            _end_step(b, any_positive, step, above, hits, sums, bins)


@_inline
def _end_step(
    b: int,
    any_positive: int,
    step: Float64s,
    above: Float64s,
    hits: Float64s,
    sums: Float64s,
    bins: Float64s,
) -> None:
    """Adds the areas under the curves that the examples of one score, now in `step`, give."""
    for r in range(WIDTH):
        sums[ROC, r] += step[0, r] * (hits[r] + step[1, r] / 2)
        above[r] += step[0, r] + step[1, r]
        step[0, r] = 0.0
    if any_positive:
        for r in range(WIDTH):
            hits[r] += step[1, r]
            if step[1, r] > 0:
                sums[PR, r] += step[1, r] * hits[r] / above[r]
            bins[b, POSITIVE, r] += step[1, r]
            step[1, r] = 0.0


@_jit
def captured(
    counts: npt.NDArray[np.uint8],
    customer: Int32s,
    weight: Float64s,
    positive: Bools,
    score: Float64s,
    mark: Float64s,
    out: Float64s,
) -> None:
    """Positives among the highest scores, up to a given weight; of equal scores, their share.

    Args:
        counts: As in `tally`, and so are `customer`, `weight`, `positive` and `score`.
        mark: Weight of the highest scores in each resample. Shape (WIDTH,), float64.
        out: Weight of the positives among them. Shape (WIDTH,), float64.
    """
    step = np.zeros((2, WIDTH))
    room, all_, positives = mark.copy(), step[0], step[1]
    out[:] = 0.0
    i, full = 0, 0
    while i < len(score) and full < WIDTH:
        now = score[i]
        while i < len(score) and score[i] == now:
            c, size, kind = customer[i], weight[i], int(positive[i])
            for r in range(WIDTH):
                w = size * counts[c, r]
                all_[r] += w
                positives[r] += w * kind
            i += 1
        full = 0
        for r in range(WIDTH):
            share = min(room[r] / all_[r], 1.0) if all_[r] > 0 else 0.0
            out[r] += share * positives[r]
            room[r] -= share * all_[r]
            full += room[r] <= 0
            positives[r] = 0.0
            all_[r] = 0.0
