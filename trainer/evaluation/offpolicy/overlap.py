"""Where a strategy and doing nothing stand beside each other, and what they show there.

Beside a strategy stand the examples of doing nothing that are its own (`trainer.examples.landmarks`), else all.
Where the probabilities were logged, an example counts 1 / p. Where they were not, they are estimated: of an
example of either arm, with which probability it is one of the strategy, by a logistic regression on the
features, cross-fitted over folds of customers (Rosenbaum and Rubin 1983, Biometrika 70; Chernozhukov et al.
2018). Estimated probabilities take out what the features know of who was chosen, and nothing else.

Where only one arm is, nothing can be compared: examples with a probability outside 0.05 to 0.95 are left out,
with a count (Crump, Hotz, Imbens and Mitnik 2009, "Dealing with limited overlap in estimation of average
treatment effects", Biometrika 96, who cut at 0.1), and what is said is said of the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from stream.columns import Bools, Float32s, Float64s, Int64s
from trainer.evaluation.offpolicy.arms import difference
from trainer.evaluation.offpolicy.inference import Interval
from trainer.evaluation.offpolicy.nuisance import folds_of

LEAST = 0.05
"""Below it, and above 1 less it, there is no overlap."""
ROWS_MAX = 100_000
"""Most examples of a strategy that are looked at, about."""
_ARM_MIN = 20
_RIDGE = 1.0  # in units of one standardised example for each feature
_STEPS, _CLOSE = 25, 1e-8


@dataclass(frozen=True, slots=True)
class Overlap:
    """A strategy beside doing nothing.

    Attributes:
        treated: Examples of the strategy.
        untreated: Examples of doing nothing beside it.
        estimated: Whether the probabilities are estimated.
        left_out: Of both arms those that have nobody like them in the other.
        plain: Difference of the mean outcomes of both arms as they are; None without two arms.
        alike: Difference between those that are alike, weighted; None where too few of an arm are.
    """

    treated: int
    untreated: int
    estimated: bool
    left_out: int
    plain: Interval | None
    alike: Interval | None


def whole_customers(customer: Int64s) -> Bools:
    """Examples of every k-th customer, whole, so that they are about `ROWS_MAX` at most. Shape (n,), bool."""
    step = max(-(-len(customer) // ROWS_MAX), 1)
    picked: Bools = np.unique(customer, return_inverse=True)[1] % step == 0
    return picked


def overlap(
    features: Float32s | Float64s,
    treated: Bools,
    outcome: Float64s | Bools,
    propensity: Float64s,
    customer: Int64s,
) -> Overlap:
    """Compares the two arms.

    Args:
        features: What was known, standardised. Shape (n, F).
        treated: Which examples are of the strategy, the others are of doing nothing. Shape (n,), bool.
        outcome: What came of each. Shape (n,).
        propensity: Logged probability of what was done, NaN if nobody said. Shape (n,), float64.
        customer: Number of its customer. Shape (n,), int64.
    """
    sizes = int(treated.sum()), int((~treated).sum())
    plain = difference(outcome, treated, ~treated, np.ones(len(treated)), customer)
    logged = bool((propensity > 0).all())
    if min(sizes) < _ARM_MIN:
        return Overlap(*sizes, not logged, 0, plain, None)
    if logged:
        alike = difference(outcome, treated, ~treated, 1 / propensity, customer)
        return Overlap(*sizes, False, 0, plain, alike)
    chance = cross_fitted(features, treated, folds_of(customer))
    inside = (chance >= LEAST) & (chance <= 1 - LEAST)
    weight = np.where(inside, 1 / np.where(treated, chance, 1 - chance), 1.0)
    one, other = treated & inside, ~treated & inside
    alike = None
    if min(int(one.sum()), int(other.sum())) >= _ARM_MIN:
        alike = difference(outcome, one, other, weight, customer)
    return Overlap(*sizes, True, int((~inside).sum()), plain, alike)


def cross_fitted(features: Float32s | Float64s, treated: Bools, fold: Int64s) -> Float64s:
    """Probability that an example is of the strategy, by the examples of the other folds.

    Args:
        features: Shape (n, F), standardised.
        treated: Shape (n,), bool.
        fold: Shape (n,), int64.

    Returns:
        Shape (n,), float64.
    """
    x = np.column_stack([np.asarray(features, np.float64), np.ones(len(treated))])
    out = np.full(len(treated), treated.mean())
    for f in range(int(fold.max()) + 1):
        mine = fold == f
        out[mine] = expit(x[mine] @ _fit(x[~mine], treated[~mine].astype(np.float64)))
    return out


def _fit(x: Float64s, y: Float64s) -> Float64s:
    """Logistic regression with a small penalty, by Newton's method. Shape (F + 1,), float64."""
    penalty = np.full(x.shape[1], _RIDGE)
    penalty[-1] = 1e-9  # the intercept is not shrunk
    weight = np.zeros(x.shape[1])
    for _ in range(_STEPS):
        p = expit(x @ weight)
        slope = x.T @ (y - p) - penalty * weight
        curve = (x.T * (p * (1 - p))) @ x + np.diag(penalty)
        move = np.linalg.solve(curve, slope)
        weight = weight + np.clip(move, -5.0, 5.0)
        if np.abs(move).max() < _CLOSE:
            break
    return weight
