"""From scores to one strategy for each decision, and the reason for every strategy not taken.

Rules of this file
1. Arrays in, arrays out; nothing random, nothing remembered: equal input gives equal decisions.
2. What a strategy is worth is its expected gain over leaving the customer alone:
   (p_k - p_0) * value_k - cost_k, where p_k is the model's probability of the outcome with strategy
   k and p_0 the one without contact (0 when the model has no output "nothing"). This is uplift with
   costs of treatment: Zhao and Harinen, "Uplift Modeling for Multiple Treatments with Cost
   Optimization", 2019, arXiv:1908.05372. Doing nothing is thereby worth exactly 0.
3. A strategy must be worth strictly more than nothing. Of equals the first in the campaign wins.
4. A strategy about which the model can say nothing is never chosen, and stands in the way of no other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

import numba
import numpy as np
import numpy.typing as npt

from stream.campaign.file import Campaign, StrategySpec
from stream.columns import Bools, Float32s, Float64s, Int16s, Int64s
from stream.compiled.borrow import borrow
from stream.errors import OperatorError
from stream.policy.decision import NOTHING, DecisionBatch, Dropped, Reason
from stream.policy.permission import Needs, borrow_needs, compile_needs, forbid


class Policy:
    """The rules of one campaign over the outputs of one model.

    Attributes:
        strategies: Strategy ids in the order of the campaign, then "nothing".
    """

    def __init__(
        self,
        campaign: Campaign,
        head: Literal["choice", "response"],
        outputs: Sequence[str],
        untrained: Collection[str] = (),
    ) -> None:
        """Compiles the policy.

        Args:
            campaign: The campaign file.
            head: What an output means: the share of a choice, or a probability of the outcome.
            outputs: Strategy id of each model output, in order; "nothing" may be one of them. Those
                that the campaign does not have are ignored.
            untrained: Strategies that the model has seen too few examples of.

        Raises:
            OperatorError: The model has none of the campaign's strategies, or one twice.
        """
        ids = [strategy.id for strategy in campaign.strategies]
        if len(set(outputs)) != len(outputs) or not set(outputs) & set(ids):
            raise OperatorError(
                f"model outputs: expected strategies of the campaign, {ids}, each once, and "
                f'"{NOTHING}" or not, got {list(outputs)}; train and promote a model for this '
                "campaign or use the campaign that the model was trained for"
            )
        self.strategies = (*ids, NOTHING)
        self._outputs = len(outputs)
        self._head = head
        self._output = np.array([outputs.index(s) if s in outputs else 0 for s in ids], np.int64)
        self._barred = np.array(
            [_barred(s, outputs, untrained) for s in campaign.strategies], np.int8
        )
        self._output_nothing = outputs.index(NOTHING) if NOTHING in outputs else -1
        self._value = np.array([strategy.value for strategy in campaign.strategies])
        self._cost = np.array([strategy.cost for strategy in campaign.strategies])
        self._needs = compile_needs(campaign)
        self._do_nothing = campaign.policy.do_nothing

    def choose(
        self,
        probabilities: Float32s,
        eligible: Bools,
        consent: npt.NDArray[np.int8],
        closed: Bools,
    ) -> DecisionBatch:
        """Decides.

        Args:
            probabilities: Model outputs. Shape (n, outputs), float32.
            eligible: Whether the customer meets the conditions of each strategy. Shape (n, S).
            consent: By purpose 1 granted, 0 withdrawn, -1 not said, -2 unreadable.
                Shape (purposes, n), int8.
            closed: Whether each channel that suppressions name is closed. Shape (channels, n), bool.
        """
        n, strategies = len(probabilities), len(self._value)
        assert probabilities.shape == (n, self._outputs), probabilities.shape
        assert eligible.shape == (n, strategies), eligible.shape
        strategy, dropped = np.empty(n, np.int16), np.empty((n, strategies), np.int8)
        value, reason = np.empty(n, np.float64), np.empty(n, np.int8)
        score, without = np.empty(n, np.float32), np.empty(n, np.float32)
        _choose(
            probabilities, eligible, self._needs, consent, closed, self._barred, self._output,
            self._output_nothing, self._value, self._cost, self._do_nothing,
            strategy, score, without, value, reason, dropped,
        )  # fmt: skip
        unknown = np.full(n, np.nan, np.float32)
        response = self._head == "response"
        return DecisionBatch(
            strategy=strategy,
            score=score,
            probability=score if response else unknown,
            probability_without=without if response else unknown,
            expected_value=value,
            action_probability=np.ones(n),
            reason=reason,
            dropped=dropped,
        )


def _barred(strategy: StrategySpec, outputs: Sequence[str], untrained: Collection[str]) -> Dropped:
    """Why a strategy is never chosen, `CHOSEN` for no reason."""
    if not strategy.enabled:
        return Dropped.DISABLED
    if strategy.id not in outputs:
        return Dropped.NOT_IN_MODEL
    return Dropped.UNTRAINED if strategy.id in untrained else Dropped.CHOSEN


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _choose(
    probabilities: Float32s,
    eligible: Bools,
    needs: Needs,
    consent: npt.NDArray[np.int8],
    closed: Bools,
    barred: npt.NDArray[np.int8],
    output: Int64s,
    output_nothing: int,
    value: Float64s,
    cost: Float64s,
    do_nothing: bool,
    strategy: Int16s,
    score: Float32s,
    without: Float32s,
    expected_value: Float64s,
    reason: npt.NDArray[np.int8],
    dropped: npt.NDArray[np.int8],
) -> None:
    strategies = len(value)
    needs, consent, closed = borrow_needs(needs), borrow(consent), borrow(closed)
    barred, dropped = borrow(barred), borrow(dropped)
    for i in range(len(probabilities)):
        nothing = probabilities[i, output_nothing] if output_nothing >= 0 else np.float32(np.nan)
        baseline = np.float64(nothing) if output_nothing >= 0 else 0.0
        winner, best = strategies, 0.0 if do_nothing else -np.inf
        allowed = comparable = 0
        against = forbid(needs, consent, closed, barred, i, dropped)
        for k in range(strategies):
            if dropped[i, k] != Dropped.CHOSEN:
                continue
            if not eligible[i, k]:
                dropped[i, k] = Dropped.NOT_ELIGIBLE
                continue
            allowed += 1
            gain = (probabilities[i, output[k]] - baseline) * value[k] - cost[k]
            if not np.isfinite(gain):
                dropped[i, k] = Dropped.SCORE_NOT_FINITE
                continue
            comparable += 1
            dropped[i, k] = Dropped.LOWER_VALUE
            if gain > best:
                best, winner = gain, k
        acts = winner < strategies
        if acts:
            dropped[i, winner] = Dropped.CHOSEN
        strategy[i] = winner
        score[i], without[i] = (probabilities[i, output[winner]] if acts else nothing), nothing
        expected_value[i] = best if acts else 0.0
        reason[i] = _reason(acts, against, allowed, comparable)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _reason(acts: bool, against: int, allowed: int, comparable: int) -> int:
    if acts:
        return Reason.ONLY_ELIGIBLE if allowed == 1 else Reason.HIGHEST_VALUE
    if against == Dropped.NO_CONSENT:
        return Reason.NO_CONSENT
    if against == Dropped.SUPPRESSED:
        return Reason.SUPPRESSED
    if allowed == 0:
        return Reason.NONE_ELIGIBLE
    return Reason.SCORE_NOT_FINITE if comparable == 0 else Reason.NOTHING_BETTER
