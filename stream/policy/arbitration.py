"""Arbitration: what each strategy that is still allowed is worth, and which is best.

A strategy is worth (p_k - p_0) * value_k * weight_k - cost_k, where p_k is the model's probability of
the outcome with strategy k and p_0 the one without contact (0 when the model has no output "nothing").
This is uplift with costs of treatment: Zhao and Harinen, "Uplift Modeling for Multiple Treatments with
Cost Optimization", 2019, arXiv:1908.05372. Doing nothing is thereby worth exactly 0.

Rules of this file
1. A strategy must be worth strictly more than nothing, unless the campaign says otherwise. Of equals the
   first in the campaign wins.
2. A higher priority goes before any value; within one the most valuable wins. Doing nothing stands
   beside each: no priority makes a loss a gain.
3. A strategy about which the model can say nothing is never the best, and stands in the way of no other.
   A transactional one does not ask the model: its value is certain.
4. The fallback is taken when nothing else is best, whatever it is worth; the model need not know it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from stream.campaign.file import Campaign
from stream.campaign.funnel_sections import has_chance
from stream.columns import Bools, Float32s, Float64s, Int64s
from stream.compiled.borrow import borrow
from stream.policy.decision import NOTHING, Dropped

_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)

NO_ARM = -np.inf
"""In the place of a worth: the strategy is not allowed."""


class Worth(NamedTuple):
    """What the S strategies are worth under one model.

    Attributes:
        output: Output of the model for each, -1 for one that does not ask it. Shape (S,), int64.
        unscored: Why the model can say nothing about it, CHOSEN when it can. Shape (S,), int8.
        value: Value of an outcome. Shape (S,), float64.
        value_from: Which of the last raw features has the value: 1 is the last, 0 is none. Shape (S,),
            int64.
        weight: Shape (S,), float64.
        cost: Of a contact. Shape (S,), float64.
        priority: Shape (S,), int64.
        transactional: Shape (S,), bool.
        output_nothing: Output of the model for doing nothing, -1 for none.
        do_nothing: Whether a strategy has to be worth more than nothing.
        fallback: Strategy that is taken when none is best, -1 for none.
        has_priorities: Whether they differ.
        is_plain: Whether value and cost are all that counts, and nobody asks for the worth of others than
            the best.
    """

    output: Int64s
    unscored: npt.NDArray[np.int8]
    value: Float64s
    value_from: Int64s
    weight: Float64s
    cost: Float64s
    priority: Int64s
    transactional: Bools
    output_nothing: int
    do_nothing: bool
    fallback: int
    has_priorities: bool
    is_plain: bool


class Best(NamedTuple):
    """The best of one decision.

    Attributes:
        strategy: Its index, S for nothing.
        gain: What it is worth, NaN when that cannot be said; of no meaning for nothing.
        allowed: Strategies that were allowed.
        scored: Those of them that can be compared.
        not_finite: Those of them for which the model gave no number.
        by_priority: Whether another is worth more.
        by_fallback: Whether none is worth enough.
    """

    strategy: int
    gain: float
    allowed: int
    scored: int
    not_finite: int
    by_priority: bool
    by_fallback: bool


def compile_worth(
    campaign: Campaign,
    outputs: Sequence[str],
    untrained: Collection[str],
    *,
    has_model: bool,
) -> Worth:
    """What the strategies of a campaign are worth.

    Args:
        campaign: The campaign file.
        outputs: Strategy id of each model output.
        untrained: Strategies that the model has seen too few examples of.
        has_model: Whether there is a model.
    """
    strategies = campaign.strategies
    asks = [s.id in outputs and not s.transactional for s in strategies]
    output = [outputs.index(s.id) if a else -1 for s, a in zip(strategies, asks, strict=True)]
    unscored = [
        Dropped.CHOSEN if s.transactional
        else Dropped.NO_MODEL if not has_model
        else Dropped.NOT_IN_MODEL if s.id not in outputs
        else Dropped.UNTRAINED if s.id in untrained
        else Dropped.CHOSEN
        for s in strategies
    ]  # fmt: skip
    priced = [s.id for s in strategies if s.value_from]
    value_from = [len(priced) - priced.index(s.id) if s.value_from else 0 for s in strategies]
    ids = [s.id for s in strategies]
    fallback = campaign.policy.fallback
    return Worth(
        np.array(output, np.int64), np.array(unscored, np.int8),
        np.array([s.value for s in strategies]), np.array(value_from, np.int64),
        np.array([s.weight for s in strategies]), np.array([s.cost for s in strategies]),
        np.array([s.priority for s in strategies], np.int64),
        np.array([s.transactional for s in strategies]),
        outputs.index(NOTHING) if NOTHING in outputs else -1,
        campaign.policy.do_nothing, ids.index(fallback) if fallback else -1,
        len({s.priority for s in strategies}) > 1,
        not (fallback or has_chance(campaign)) and all(
            s.priority == 0 and s.weight == 1 and not (s.value_from or s.transactional)
            for s in strategies
        ),
    )  # fmt: skip


@_inlined
def borrow_worth(worth: Worth) -> Worth:
    """The same, for use inside one kernel."""
    return Worth(
        borrow(worth.output), borrow(worth.unscored), borrow(worth.value), borrow(worth.value_from),
        borrow(worth.weight), borrow(worth.cost), borrow(worth.priority),
        borrow(worth.transactional), worth.output_nothing, worth.do_nothing, worth.fallback,
        worth.has_priorities, worth.is_plain,
    )  # fmt: skip


@_inlined
def arbitrate(
    worth: Worth, scores: Float32s, raw: Float64s, i: int, codes: npt.NDArray[np.int8],
    gain: Float64s,
) -> Best:  # fmt: skip
    """Finds the best of what is allowed.

    Args:
        worth: What strategies are worth.
        scores: Model outputs. Shape (n, outputs).
        raw: Raw features. Shape (n, R).
        i: Which of the n.
        codes: Why each strategy is not used so far. Of those with CHOSEN it is set to why they would
            not be taken; the best keeps its own until somebody takes it. Changed. Shape (S,), int8.
        gain: Set to what each strategy is worth, NaN when that cannot be said, `NO_ARM` when it is not
            allowed. Shape (S,), float64.
    """
    baseline = np.float64(scores[i, worth.output_nothing]) if worth.output_nothing >= 0 else 0.0
    if worth.is_plain:
        return _by_value(worth, scores, i, baseline, codes)
    strategies, least = len(codes), (0.0 if worth.do_nothing else -np.inf)
    best, most, first = strategies, least, np.int64(-(2**62))
    allowed = scored = not_finite = 0
    for k in range(strategies):
        gain[k] = NO_ARM
        if codes[k] != Dropped.CHOSEN:
            continue
        allowed += 1
        gain[k] = np.nan
        if worth.unscored[k] != Dropped.CHOSEN:
            codes[k] = worth.unscored[k]
            continue
        worth_k = _gain(worth, scores, raw, i, k, baseline)
        if not np.isfinite(worth_k):
            codes[k] = Dropped.SCORE_NOT_FINITE
            not_finite += 1
            continue
        scored += 1
        gain[k] = worth_k
        codes[k] = Dropped.LOWER_VALUE
        higher = worth.priority[k] > first
        if worth_k > least and (higher or (worth.priority[k] == first and worth_k > most)):
            most, best, first = worth_k, k, worth.priority[k]
    return _settle(worth, codes, gain, Best(best, most, allowed, scored, not_finite, False, False))


@_inlined
def _by_value(
    worth: Worth, scores: Float32s, i: int, baseline: float, codes: npt.NDArray[np.int8]
) -> Best:
    """The same where value and cost are all that counts, in a third of the time."""
    strategies = len(codes)
    best, most = strategies, (0.0 if worth.do_nothing else -np.inf)
    allowed = scored = 0
    for k in range(strategies):
        if codes[k] != Dropped.CHOSEN:
            continue
        allowed += 1
        gain = (scores[i, worth.output[k]] - baseline) * worth.value[k] - worth.cost[k]
        if not np.isfinite(gain):
            codes[k] = Dropped.SCORE_NOT_FINITE
            continue
        scored += 1
        codes[k] = Dropped.LOWER_VALUE
        if gain > most:
            most, best = gain, k
    return Best(best, most, allowed, scored, allowed - scored, False, False)


@_inlined
def _gain(
    worth: Worth, scores: Float32s, raw: Float64s, i: int, k: int, baseline: float
) -> float:  # fmt: skip
    """What strategy k is worth; where the feature that has its value is missing, by its own value."""
    value = worth.value[k]
    if worth.value_from[k] > 0:
        known = raw[i, raw.shape[1] - worth.value_from[k]]
        value = value if np.isnan(known) else known
    by_how_much = scores[i, worth.output[k]] - baseline if worth.output[k] >= 0 else 1.0
    gain: float = by_how_much * value * worth.weight[k] - worth.cost[k]
    return gain


@_inlined
def _settle(worth: Worth, codes: npt.NDArray[np.int8], gain: Float64s, best: Best) -> Best:
    """Who had a lower priority is told so, and the fallback steps in where none is best."""
    strategies, b, most = len(codes), best.strategy, best.gain
    by_priority = False
    if worth.has_priorities and b < strategies:
        for k in range(strategies):
            if np.isfinite(gain[k]) and worth.priority[k] < worth.priority[b]:
                by_priority |= gain[k] > most
                codes[k] = Dropped.LOWER_PRIORITY
    by_fallback = b == strategies and worth.fallback >= 0 and gain[worth.fallback] != NO_ARM
    if by_fallback:
        b, most = worth.fallback, gain[worth.fallback]
    return Best(b, most, best.allowed, best.scored, best.not_finite, by_priority, by_fallback)


def gains(worth: Worth, scores: Float32s, raw: Float64s) -> Float64s:
    """What every strategy is worth over doing nothing, whatever is allowed.

    Args:
        worth: What strategies are worth.
        scores: Model outputs. Shape (n, outputs), float32.
        raw: Raw features. Shape (n, R), float64.

    Returns:
        NaN for a strategy of which the model can say nothing. Shape (n, S), float64.
    """
    out = np.full((len(scores), len(worth.output)), np.nan)
    _gains(worth, scores, raw, out)
    return out


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _gains(worth: Worth, scores: Float32s, raw: Float64s, out: Float64s) -> None:
    for i in range(out.shape[0]):
        baseline = np.float64(scores[i, worth.output_nothing]) if worth.output_nothing >= 0 else 0.0
        for k in range(out.shape[1]):
            if worth.unscored[k] == Dropped.CHOSEN:
                out[i, k] = _gain(worth, scores, raw, i, k, baseline)
