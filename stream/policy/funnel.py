"""The funnel as one loop over decided events, row by row, each stage a function that is inlined.

For event i `dropped[i, k]` says why strategy k is not taken, CHOSEN as long as it is allowed; a stage looks
at what is still allowed and gives what it drops its own code. `stream.policy.stages` has them in their order.
Of a customer who is held out the rest of the funnel runs twice: for the ghost, who is the same customer
not held out, and for the customer.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from stream.columns import Bools, Float32s, Float64s, Int16s, Int64s
from stream.compiled.borrow import borrow
from stream.policy.arbitration import Best, Worth, arbitrate, borrow_worth
from stream.policy.chances import drawn, round_shares
from stream.policy.decision import Dropped, Reason
from stream.policy.eligibility import exclude_ineligible
from stream.policy.exploration import Exploring, explore
from stream.policy.holdout import withhold
from stream.policy.permission import Needs, borrow_needs, forbid

_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


class Rules(NamedTuple):
    """What a campaign and a model compile to; arrays of shape (S,).

    Attributes:
        needs: Consent and channels that strategies need.
        barred: Why a strategy is out for everybody, CHOSEN for no reason. int8.
        covers: Bit h for hold-out h that keeps it from its customers. int64.
        worth: What strategies are worth.
        exploring: How much is left to chance.
        has_chance: Whether chance has a part in any decision.
        has_model: Whether there is a model.
    """

    needs: Needs
    barred: npt.NDArray[np.int8]
    covers: Int64s
    worth: Worth
    exploring: Exploring
    has_chance: bool
    has_model: bool


class Facts(NamedTuple):
    """What is known of n events, see `Policy.choose` and `stream.policy.draws.Asked`."""

    scores: Float32s
    eligible: Bools
    consent: npt.NDArray[np.int8]
    closed: Bools
    raw: Float64s
    draw: Int64s
    held_out: Int64s


class Outcome(NamedTuple):
    """Columns that are filled, see `stream.policy.decision.DecisionBatch`."""

    strategy: Int16s
    score: Float32s
    without: Float32s
    expected_value: Float64s
    reason: npt.NDArray[np.int8]
    dropped: npt.NDArray[np.int8]
    chances: Int64s
    explored: Bools
    ghost: Int16s


class Scratch(NamedTuple):
    """Room for one decision at a time: worths and ghost's codes (S,), shares (S + 1,)."""

    gain: Float64s
    ghost: npt.NDArray[np.int8]
    share: Float64s


@numba.njit(nogil=True, cache=True, error_model="numpy")
def decide(rules: Rules, facts: Facts, out: Outcome, scratch: Scratch) -> None:
    """Decides about each event: fills `out`."""
    needs, barred = borrow_needs(rules.needs), borrow(rules.barred)
    covers, worth = borrow(rules.covers), borrow_worth(rules.worth)
    scores, raw, eligible = borrow(facts.scores), borrow(facts.raw), borrow(facts.eligible)
    consent, closed = borrow(facts.consent), borrow(facts.closed)
    dropped, chances = borrow(out.dropped), borrow(out.chances)
    gain, ghost, share = borrow(scratch.gain), borrow(scratch.ghost), borrow(scratch.share)
    nothing = len(barred)
    for i in range(len(out.strategy)):
        against = forbid(needs, consent, closed, barred, i, dropped)
        exclude_ineligible(eligible, i, dropped)
        held, withheld = facts.held_out[i] if rules.has_chance else 0, False
        if held:
            withheld = withhold(covers, held, dropped[i], ghost)
        # What depends on earlier decisions about the same customer belongs here.
        would_be, chosen = -1, nothing
        best = Best(nothing, 0.0, 0, 0, 0, False, False)
        for turn in range(2 if held else 1):
            is_ghost = held != 0 and turn == 0
            codes = ghost if is_ghost else dropped[i]
            best = arbitrate(worth, scores, raw, i, codes, gain)
            chosen = best.strategy
            if rules.has_chance:
                explore(rules.exploring, worth, best, gain, share)
                round_shares(share, chances[i])
                chosen = drawn(chances[i], facts.draw[i])
            if is_ghost:
                would_be = chosen
        _settle(worth, scores, i, best, chosen, gain, dropped, out)
        out.ghost[i] = would_be
        lost = withheld and (best.allowed == 0 or would_be not in (-1, nothing))
        out.reason[i] = _reason(rules.has_model, best, chosen, nothing, against, lost)


@_inlined
def _settle(
    worth: Worth, scores: Float32s, i: int, best: Best, chosen: int, gain: Float64s,
    dropped: npt.NDArray[np.int8], out: Outcome,
) -> None:  # fmt: skip
    """Writes down what was chosen."""
    nothing = len(gain)
    without = np.float32(np.nan)
    if worth.output_nothing >= 0:
        without = scores[i, worth.output_nothing]
    score = without
    if chosen < nothing:
        asked = worth.output[chosen] >= 0
        score = scores[i, worth.output[chosen]] if asked else np.float32(np.nan)
        dropped[i, chosen] = Dropped.CHOSEN
    explored = chosen != best.strategy
    if explored and best.strategy < nothing:
        dropped[i, best.strategy] = Dropped.NOT_DRAWN
    out.strategy[i], out.score[i], out.without[i] = chosen, score, without
    out.expected_value[i] = 0.0
    if chosen < nothing:
        out.expected_value[i] = gain[chosen] if explored else best.gain
    out.explored[i] = explored


@_inlined
def _reason(
    has_model: bool, best: Best, chosen: int, nothing: int, against: int, held_out: bool
) -> int:
    if chosen != best.strategy:
        return Reason.EXPLORED
    return _why_taken(best) if chosen < nothing else _why_not(has_model, best, against, held_out)


@_inlined
def _why_taken(best: Best) -> int:
    if best.by_fallback:
        return Reason.FALLBACK
    if best.allowed == 1:
        return Reason.ONLY_ELIGIBLE
    return Reason.HIGHEST_PRIORITY if best.by_priority else Reason.HIGHEST_VALUE


@_inlined
def _why_not(has_model: bool, best: Best, against: int, held_out: bool) -> int:
    if against == Dropped.NO_CONSENT:
        return Reason.NO_CONSENT
    if against == Dropped.SUPPRESSED:
        return Reason.SUPPRESSED
    if held_out:
        return Reason.HOLDOUT
    if best.allowed == 0:
        return Reason.NONE_ELIGIBLE
    if best.scored > 0:
        return Reason.NOTHING_BETTER
    return _why_unscored(has_model, best)


@_inlined
def _why_unscored(has_model: bool, best: Best) -> int:
    if not has_model:
        return Reason.NO_MODEL
    return Reason.SCORE_NOT_FINITE if best.not_finite > 0 else Reason.NONE_SCORED
