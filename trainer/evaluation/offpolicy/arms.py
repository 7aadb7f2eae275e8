"""Two arms beside each other: outcomes of a strategy less those of doing nothing.

Each arm is a weighted mean, sum(w y) / sum(w); with w = 1 / p of what was done that is the self-normalised
estimator of Hajek (1971), which needs the probabilities up to a factor alone.
"""

from __future__ import annotations

import numpy as np

from stream.columns import Bools, Float64s, Int64s
from trainer.evaluation.offpolicy.estimators import Worth
from trainer.evaluation.offpolicy.inference import Clusters, Interval, interval


def difference(
    outcome: Float64s | Bools, treated: Bools, untreated: Bools, weight: Float64s, customer: Int64s
) -> Interval | None:
    """The mean of one arm less that of another, and how sure it is.

    Args:
        outcome: What came of each example. Shape (n,).
        treated: Which are of the one arm. Shape (n,), bool.
        untreated: Which are of the other. Shape (n,), bool.
        weight: How much each counts, above 0. Shape (n,), float64.
        customer: Number of its customer; one that is in both arms is one customer. Shape (n,), int64.

    Returns:
        None where an arm has nobody, or both together fewer than two customers.
    """
    both = treated | untreated
    if not (treated.any() and untreated.any()):
        return None
    y, w = outcome[both].astype(np.float64), weight[both]
    value, influence = 0.0, np.zeros(len(y))
    for arm, sign in ((treated[both], 1.0), (untreated[both], -1.0)):
        share = np.where(arm, w, 0.0)
        mean = float(share @ y / share.sum())
        value += sign * mean
        influence += sign * share * (y - mean) / share.mean()
    clusters = Clusters(customer[both])
    return interval(Worth(value, influence), clusters) if len(clusters) > 1 else None
