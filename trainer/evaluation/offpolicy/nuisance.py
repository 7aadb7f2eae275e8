"""What each action would have brought, from a model that has not seen the decision: for doubly robust estimates.

Doubly robust estimates are right whatever this model says, since the propensities are known; a better one
makes intervals shorter. So it is a plain one: a weighted sum of the features for each action, by ridge
regression, cross-fitted over folds of customers (Chernozhukov et al. 2018, "Double/debiased machine
learning", definition 3.1).
"""

from __future__ import annotations

import numpy as np

from stream.columns import Float32s, Float64s, Int64s
from trainer.evaluation.offpolicy.log import Log

FOLDS = 5
_RIDGE = 1.0  # in units of one standardised example for each feature: negligible for large logs
_BLOCK = 65_536


def folds_of(customer: Int64s, folds: int = FOLDS, seed: int = 0) -> Int64s:
    """A fold for each decision: all of one customer in one. Shape (n,), int64."""
    distinct, number = np.unique(customer, return_inverse=True)
    drawn = np.random.default_rng(seed).permutation(len(distinct)) % folds
    found: Int64s = drawn[number].astype(np.int64)
    return found


def expected_rewards(log: Log, features: Float32s | Float64s, fold: Int64s) -> Float64s:
    """Cross-fitted q(x, a).

    Args:
        log: The decisions.
        features: What was known at each. Shape (n, F).
        fold: Of `folds_of`. Shape (n,), int64.

    Returns:
        Shape (n, K), float64. Of an action that a fold's others never took: their mean reward.
    """
    n, actions = len(log), len(log.names)
    mean, spread = features.mean(axis=0), features.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    width, count = features.shape[1] + 1, int(fold.max()) + 1 if n else 1
    grams, sides = _moments(log, features, mean, spread, fold, (count, actions, width))
    overall = float(log.reward.mean()) if n else 0.0
    out = np.empty((n, actions))
    penalty = _RIDGE * np.eye(width)
    penalty[-1, -1] = 1e-9  # the intercept is not shrunk
    for f in range(count):
        gram, side = grams.sum(axis=0) - grams[f], sides.sum(axis=0) - sides[f]
        weights = np.linalg.solve(gram + penalty, side[..., np.newaxis])[..., 0]
        seen = gram[:, -1, -1] > 0.5  # decisions with the action
        weights[~seen] = 0.0
        weights[~seen, -1] = overall
        rows = np.flatnonzero(fold == f)
        for start in range(0, len(rows), _BLOCK):
            part = rows[start : start + _BLOCK]
            out[part] = _with_intercept(features[part], mean, spread) @ weights.T
    return out


def _moments(
    log: Log,
    features: Float32s | Float64s,
    mean: Float64s,
    spread: Float64s,
    fold: Int64s,
    shape: tuple[int, int, int],
) -> tuple[Float64s, Float64s]:
    """Sums of x x' and of x r by fold and action. Shapes (folds, K, F + 1, F + 1), (folds, K, F + 1)."""
    count, actions, width = shape
    grams, sides = np.zeros((count, actions, width, width)), np.zeros((count, actions, width))
    cell = fold * actions + log.action
    order = np.argsort(cell, kind="stable")
    stops = np.searchsorted(cell[order], np.arange(count * actions + 1))
    for one in range(count * actions):
        for start in range(stops[one], stops[one + 1], _BLOCK):
            rows = order[start : min(start + _BLOCK, stops[one + 1])]
            x = _with_intercept(features[rows], mean, spread)
            grams[divmod(one, actions)] += x.T @ x
            sides[divmod(one, actions)] += x.T @ log.reward[rows]
    return grams, sides


def _with_intercept(x: Float32s | Float64s, mean: Float64s, spread: Float64s) -> Float64s:
    out = np.ones((len(x), x.shape[1] + 1))
    out[:, :-1] = (x - mean) / spread
    return out
