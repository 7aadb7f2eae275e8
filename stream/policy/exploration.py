"""Exploration: the share of each strategy and of doing nothing, instead of the best alone.

K arms are what is allowed, and doing nothing; g is what an arm is worth, b the best of them.
- epsilon: epsilon / K for each, the rest for b. Sutton and Barto, "Reinforcement Learning", 2018, 2.2.
- softmax: exp(g / temperature), scaled to sum 1; the floor is mixed in. Sutton and Barto, 2.8.
- inverse_gap: 1 / (K + gamma * (g_b - g)), the rest for b. Abe and Long, 1999; SquareCB of Foster and
  Rakhlin, "Beyond UCB", 2020, arXiv:2002.04926.

Rules of this file
1. No arm gets less than floor / K. What cannot be compared, since the model can say nothing about it or
   its priority is lower than that of the best, gets that and no more.
2. A transactional strategy is no arm: when it is the best it is certain, and chance never takes it.
3. Doing nothing is an arm, unless the campaign has `do_nothing = false` and a strategy can be taken.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np

from stream.campaign.funnel_sections import ExplorationSpec
from stream.columns import Float64s
from stream.policy.arbitration import NO_ARM, Best, Worth

_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)

NONE, EPSILON, SOFTMAX, INVERSE_GAP = range(4)


class Exploring(NamedTuple):
    """How much is left to chance: see `ExplorationSpec`."""

    method: int
    epsilon: float
    temperature: float
    gamma: float
    floor: float


def compile_exploring(spec: ExplorationSpec, *, has_model: bool) -> Exploring:
    """What to do with a model, and without one: draw evenly, as often as the campaign says."""
    if not has_model:
        return Exploring(EPSILON, spec.without_model, 1.0, 0.0, 0.0)
    method = ("none", "epsilon", "softmax", "inverse_gap").index(spec.method)
    return Exploring(method, spec.epsilon, spec.temperature, spec.gamma, spec.floor)


@_inlined
def explore(
    exploring: Exploring, worth: Worth, best: Best, gain: Float64s, share: Float64s
) -> None:
    """Says with which share each arm is to be taken.

    Args:
        exploring: How.
        worth: The strategies.
        best: The best of this decision.
        gain: As `arbitrate` sets it. Shape (S,), float64.
        share: Set to shares of sum 1, nothing last. Shape (S + 1,), float64.
    """
    strategies, b = len(gain), best.strategy
    arms, reference = _compare(worth, b, gain)
    certain = arms == 1 or (b < strategies and worth.transactional[b])
    method = NONE if certain else exploring.method
    even = 0.0 if method == NONE else exploring.floor / arms
    if method == EPSILON:
        even = max(even, exploring.epsilon / arms)
    total = 0.0
    for k in range(strategies + 1):
        share[k] = 0.0
        if k == b or method == NONE or not _is_arm(worth, b, gain, k):
            continue
        share[k] = even
        if method > EPSILON:
            share[k] = _weight(exploring, worth, b, gain, k, arms, reference, even)
        total += share[k]
    share[b] = 1.0 - total
    if method == SOFTMAX:
        _scale(exploring.floor, even, total + 1.0, worth, b, gain, share)


@_inlined
def _is_arm(worth: Worth, b: int, gain: Float64s, k: int) -> bool:
    """Whether chance may take it."""
    if k == len(gain):
        return bool(worth.do_nothing or b == k)
    return bool(gain[k] != NO_ARM and not worth.transactional[k])


@_inlined
def _is_compared(worth: Worth, b: int, gain: Float64s, k: int) -> bool:
    """Whether an arm is held against the best by what it is worth."""
    if k == len(gain):
        return True
    beside = b == len(gain) or worth.priority[k] >= worth.priority[b]
    return bool(beside and np.isfinite(gain[k]))


@_inlined
def _compare(worth: Worth, b: int, gain: Float64s) -> tuple[int, float]:
    """Number of arms, and what is most worth of them: not the best where that is a fallback."""
    arms, reference = 0, -np.inf
    for k in range(len(gain) + 1):
        if _is_arm(worth, b, gain, k):
            arms += 1
            if _is_compared(worth, b, gain, k):
                reference = max(reference, gain[k] if k < len(gain) else 0.0)
    return arms, reference


@_inlined
def _weight(
    exploring: Exploring, worth: Worth, b: int, gain: Float64s, k: int, arms: int,
    reference: float, even: float,
) -> float:  # fmt: skip
    """The share of an arm that is not the best, for softmax before it is scaled."""
    if not _is_compared(worth, b, gain, k):
        return 0.0 if exploring.method == SOFTMAX else even
    gap = reference - (gain[k] if k < len(gain) else 0.0)
    if exploring.method == SOFTMAX:
        return math.exp(-gap / exploring.temperature)
    return max(1.0 / (arms + exploring.gamma * gap), even)


@_inlined
def _scale(
    floor: float, even: float, total: float, worth: Worth, b: int, gain: Float64s, share: Float64s
) -> None:
    """Weights of softmax to shares, where the best has weight 1, and the floor mixed in."""
    share[b] = 1.0
    for k in range(len(share)):
        if _is_arm(worth, b, gain, k):
            share[k] = even + (1.0 - floor) * (share[k] / total)
