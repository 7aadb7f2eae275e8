"""Estimators of a policy's value per decision, each with the influence of every decision on it.

Notation: w_i = pi(a_i | x_i) / p_i, r_i the reward, q(x, a) a model of it, V the value.

Rules of this file
1. An estimate is a mean; `influence` is what each decision adds to its error, with mean 0. Standard
   errors and differences of two policies follow from influences alone (`inference`).
2. A ratio is linearised (delta method). Its denominator is as random as its numerator: freezing it
   measures the variance of w r and not that of w (r - V), which is too wide where most have the
   outcome (obp 0.5, issue 187).
3. Nothing is clipped unless it is asked for, and then it is said: clipping is a bias.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stream.columns import Float64s
from trainer.evaluation.offpolicy.log import Log, check_policy, importance


@dataclass(frozen=True, slots=True, eq=False)
class Worth:
    """An estimate of what a policy is worth per decision.

    Attributes:
        value: The estimate.
        influence: Of each decision, mean 0. Shape (n,), float64.
    """

    value: float
    influence: Float64s

    def __sub__(self, other: Worth) -> Worth:
        """The paired difference, of the same decisions."""
        return Worth(self.value - other.value, self.influence - other.influence)


def ips(log: Log, policy: Float64s) -> Worth:
    """Inverse propensity score: mean(w r). Horvitz and Thompson 1952."""
    check_policy(log, policy)
    return _mean(importance(log, policy) * log.reward)


def clipped_ips(log: Log, policy: Float64s, weight_max: float) -> Worth:
    """IPS with weights cut: mean(min(w, M) r). Ionides 2008, "Truncated importance sampling".

    Biased towards 0 by what is cut: mean((w - M)+ r).
    """
    check_policy(log, policy)
    return _mean(np.minimum(importance(log, policy), weight_max) * log.reward)


def snips(log: Log, policy: Float64s) -> Worth:
    """Self-normalised: sum(w r) / sum(w). Swaminathan and Joachims 2015, section 4.

    Raises:
        ValueError: The policy does nothing that was ever done.
    """
    check_policy(log, policy)
    weight = importance(log, policy)
    total = weight.sum()
    if total <= 0:
        raise ValueError("expected decisions in which the policy's action was taken, got none")
    value = float(weight @ log.reward / total)
    return Worth(value, weight * (log.reward - value) / weight.mean())


def direct(log: Log, policy: Float64s, expected: Float64s) -> Worth:
    """Direct method: mean(sum_a pi(a | x) q(x, a)). No better than the model q.

    Args:
        log: The decisions.
        policy: Asked about. Shape (n, K).
        expected: q(x, a), of a model that was not fitted on the decision. Shape (n, K), float64.
    """
    check_policy(log, policy)
    return _mean(_expected(policy, expected))


def doubly_robust(log: Log, policy: Float64s, expected: Float64s) -> Worth:
    """Direct method, corrected: mean(q(x, pi) + w (r - q(x, a))). Dudik, Langford and Li 2011.

    Right if the propensities are, whatever the model is; arguments as for `direct`.
    """
    check_policy(log, policy)
    weight = importance(log, policy)
    return _mean(_expected(policy, expected) + weight * _residual(log, expected))


def switch_doubly_robust(
    log: Log, policy: Float64s, expected: Float64s, weight_max: float
) -> Worth:
    """Doubly robust where w <= M, direct elsewhere. Wang, Agarwal and Dudik 2017, section 4.

    Arguments as for `direct`, and `weight_max`, M.
    """
    check_policy(log, policy)
    weight = importance(log, policy)
    trusted = np.where(weight <= weight_max, weight, 0.0)
    return _mean(_expected(policy, expected) + trusted * _residual(log, expected))


def _expected(policy: Float64s, expected: Float64s) -> Float64s:
    if expected.shape != policy.shape:
        raise ValueError(f"expected rewards: expected shape {policy.shape}, got {expected.shape}")
    found: Float64s = np.einsum("ik,ik->i", policy, expected)
    return found


def _residual(log: Log, expected: Float64s) -> Float64s:
    residual: Float64s = log.reward - expected[np.arange(len(log)), log.action]
    return residual


def _mean(part: Float64s) -> Worth:
    value = float(part.mean())
    return Worth(value, part - value)
