"""What is gained by contacting those first who react most: uplift curves by strategy and for the best of them.

Definitions, since libraries differ (one data set has Qini values of 0.085 to 2,938):

- a customer's gain is the doubly robust difference between the strategy and doing nothing, in the
  unit of the values, costs taken off;
- the curve is, for each share q of the customers, those with the highest predicted gain first, the
  sum of the gains among them divided by all customers: what contacting them earns per customer;
- AUUC is the area under it, 0 to 1 on the axis of shares; Qini is AUUC less the area under the straight
  line to its end, which is what contacting in random order earns. Neither is divided by anything.

Rules of this file
1. Customers with equal predictions have no order: the curve has points only where a prediction ends, so
   that a constant model has Qini 0 whatever the order of its rows (row by row, as causalml counts, it
   has between 0.27 and 0.60, or -11).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stream.columns import Float64s, Int64s
from trainer.evaluation.offpolicy.estimators import Worth
from trainer.evaluation.offpolicy.inference import Clusters, Interval, interval

POINTS_MAX = 200
"""Points of a curve that are shown; the areas are of all."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """What contacting a share of the customers earns.

    Attributes:
        share: Of the customers, from 0 to 1. Shape (p,), float64.
        gain: Earned per customer over doing nothing. Shape (p,), float64.
        low: Lower end of its interval, point by point. Shape (p,), float64.
        high: Upper end. Shape (p,), float64.
        auuc: Area under the curve.
        qini: Area between the curve and the straight line to its end.
    """

    share: Float64s
    gain: Float64s
    low: Float64s
    high: Float64s
    auuc: Interval
    qini: Interval


def curve(
    predicted: Float64s, gain: Float64s, of: Clusters, confidence: float = 0.95,
    points_max: int = POINTS_MAX,
) -> Curve:  # fmt: skip
    """The curve of one strategy, or of the best strategy for each customer.

    Args:
        predicted: Gain that the model expects; orders the decisions. Shape (n,), float64.
        gain: Doubly robust gain of each decision over doing nothing. Shape (n,), float64.
        of: The customers of the decisions.
        confidence: Of the intervals.
        points_max: Points of the curve, 2 at least: each has an interval of its own.
    """
    n = len(gain)
    order = np.argsort(-predicted, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(predicted[order]) != 0, True))
    share = np.append(0.0, (ends + 1) / n)
    sums = np.append(0.0, np.cumsum(gain[order])[ends] / n)
    depth, area = _depth(order, ends, share), _area(order, ends, share)
    shown = _thinned(len(share), points_max)
    bands = [interval(_part(gain * (depth <= share[at])), of, confidence) for at in shown[1:]]
    return Curve(
        share=share[shown],
        gain=sums[shown],
        low=np.array([0.0, *(band.low for band in bands)]),
        high=np.array([0.0, *(band.high for band in bands)]),
        auuc=interval(_part(gain * area), of, confidence),
        qini=interval(_part(gain * (area - 0.5)), of, confidence),
    )


def _part(of_decision: Float64s) -> Worth:
    value = float(of_decision.mean())
    return Worth(value, of_decision - value)


def _depth(order: Int64s, ends: Int64s, share: Float64s) -> Float64s:
    """Share of the customers that is contacted when the decision is. Shape (n,), float64."""
    depth = np.empty(len(order))
    depth[order] = np.repeat(share[1:], np.diff(np.append(-1, ends)))
    return depth


def _area(order: Int64s, ends: Int64s, share: Float64s) -> Float64s:
    """How much of a decision's gain counts in the area under the curve. Shape (n,), float64.

    The curve is straight between its points: a decision of a group from share a to b counts, on average
    over the order within the group, 1 - (a + b) / 2.
    """
    area = np.empty(len(order))
    area[order] = np.repeat(1 - (share[1:] + share[:-1]) / 2, np.diff(np.append(-1, ends)))
    return area


def _thinned(points: int, points_max: int) -> Int64s:
    return np.unique(np.linspace(0, points - 1, min(points, points_max)).round().astype(np.int64))
