"""Curves of one model on one group of examples.

The gain curve carries the others: among the highest-scored share x of the examples are a share g of
the positives; then recall is g, precision g * rate / x, lift g / x, and the false positive rate
(x - g * rate) / (1 - rate).
"""

from __future__ import annotations

import numpy as np

from stream.columns import Float64s
from trainer.evaluation.bootstrap import estimate
from trainer.evaluation.evaluation import Bin, Curves
from trainer.evaluation.ranking import Ranking

POINTS = 101
"""Points of the gain curve: one for each percent of the examples."""


def curves(ranking: Ranking, observed: Float64s, customers: int, confidence: float) -> Curves:
    """The curves.

    Args:
        ranking: The examples, as the model ranks them.
        observed: Share of positives in each calibration bin in every resample, NaN where it is
            empty. Shape (BINS, 1 + resamples), float64.
        customers: Customers behind the examples.
        confidence: Share of the resamples inside an interval.
    """
    stop = ranking.bin_stop()
    found = []
    for start, end, draws in zip(np.append(0, stop[:-1]), stop, observed, strict=True):
        share = estimate(draws, customers, confidence)
        if share is not None:
            weight = ranking.weight[start:end]
            predicted = float(ranking.score[start:end] @ weight / weight.sum())
            found.append(Bin(int(end - start), predicted, share))
    return Curves(_gain(ranking), tuple(reversed(found)))


def shares() -> Float64s:
    """Share of the examples at each point of a gain curve. Shape (POINTS,), float64."""
    return np.linspace(0.0, 1.0, POINTS)


def rates(gain: tuple[float, ...], rate: float) -> tuple[Float64s, Float64s, Float64s]:
    """False positive rate, recall and precision along a gain curve.

    Args:
        gain: The curve.
        rate: Share of positives among the examples, more than 0 and less than 1.

    Returns:
        Three of shape (POINTS,), float64; the precision of nobody is that of the first percent.
    """
    x, found = shares(), np.array(gain)
    precision = found[1:] * rate / x[1:]
    return (x - found * rate) / (1 - rate), found, np.append(precision[:1], precision)


def _gain(ranking: Ranking) -> tuple[float, ...]:
    """Within equal scores a straight line; empty without positives."""
    weight, positive = ranking.steps()
    if positive[-1] == 0:
        return ()
    found = np.interp(
        shares(), np.append(0.0, weight / weight[-1]), np.append(0.0, positive / positive[-1])
    )
    return tuple(np.round(found, 6).tolist())
