"""Curves of one model on one group of examples.

The gain curve carries the others: among the highest-scored share x of the examples are a share g of
the positives; then recall is g, precision g * rate / x, lift g / x, and the false positive rate
(x - g * rate) / (1 - rate).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream.columns import Float32s, Float64s
from trainer.evaluation import bands
from trainer.evaluation.bootstrap import estimate, estimates
from trainer.evaluation.evaluation import Bin, Curves, Estimate, Point
from trainer.evaluation.ranking import Ranking

POINTS = 101
"""Points of the gain curve: one for each percent of the examples."""


def curves(
    ranking: Ranking, observed: Float32s, points: Float32s, customers: int, confidence: float
) -> Curves:
    """The curves.

    Args:
        ranking: The examples, as the model ranks them.
        observed: Share of positives in each calibration bin in every resample, NaN where it is
            empty. Shape (BINS, 1 + resamples), float32.
        points: Of the curves in every resample. Shape (bands.POINTS, 1 + resamples), float32.
        customers: Customers behind the examples.
        confidence: Share of the resamples inside an interval.
    """
    found = estimates(points, customers, confidence)

    def band(rows: slice) -> tuple[Point, ...]:
        return tuple(one for one in _points(bands.AT, found[rows]) if one.low is not None)

    return Curves(
        _gain(ranking),
        _calibration(ranking, observed, customers, confidence),
        gain_band=band(bands.GAIN),
        roc_band=band(bands.ROC),
        pr_band=band(bands.PR),
        lift=_points(np.arange(1, bands.TENTHS + 1) / bands.TENTHS, found[bands.LIFT]),
    )


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


def _points(at: Float64s, heights: Sequence[Estimate | None]) -> tuple[Point, ...]:
    """Rounded, without those that are not defined."""
    return tuple(
        Point(
            round(place, 6), round(one.value, 6),
            *(None if end is None else round(end, 6) for end in (one.low, one.high)),
        )
        for place, one in zip(at.tolist(), heights, strict=True)
        if one is not None
    )  # fmt: skip


def _calibration(
    ranking: Ranking, observed: Float32s, customers: int, confidence: float
) -> tuple[Bin, ...]:
    stop = ranking.bin_stop()
    found = []
    for start, end, draws in zip(np.append(0, stop[:-1]), stop, observed, strict=True):
        share = estimate(draws, customers, confidence)
        if share is not None:
            weight = ranking.weight[start:end]
            predicted = float(ranking.score[start:end] @ weight / weight.sum())
            found.append(Bin(int(end - start), predicted, share))
    return tuple(reversed(found))


def _gain(ranking: Ranking) -> tuple[float, ...]:
    """Within equal scores a straight line; empty without positives."""
    weight, positive = ranking.steps()
    if positive[-1] == 0:
        return ()
    found = np.interp(
        shares(), np.append(0.0, weight / weight[-1]), np.append(0.0, positive / positive[-1])
    )
    return tuple(np.round(found, 6).tolist())
