"""The funnel as one loop over decided events, row by row, each stage a function that is inlined.

For event i `dropped[i, k]` says why strategy k is not taken, CHOSEN as long as it is allowed; a stage looks
at what is still allowed and gives what it drops its own code. `stream.policy.stages` has them in their order.
Of a customer who is held out the rest of the funnel runs twice: for the ghost, who is the same customer
not held out, and for the customer. Contacts are counted as decisions are made, so that the next event
of the same customer sees them.
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
from stream.policy.contact_stage import (
    Contacts,
    Hours,
    borrow_all,
    count_contacts,
    keep_back,
    keep_to_budgets,
    listen,
    look_at_hours,
)
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
        all_paused: Whether an operator has paused all that the campaign has enabled.
    """

    needs: Needs
    barred: npt.NDArray[np.int8]
    covers: Int64s
    worth: Worth
    exploring: Exploring
    has_chance: bool
    has_model: bool
    all_paused: bool


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
def decide(
    rules: Rules, facts: Facts, out: Outcome, scratch: Scratch, contacts: Contacts | None
) -> None:
    """Decides about each event: fills `out`.

    Without contacts numba compiles a loop that knows nothing of them.
    """
    rules, facts = _borrow_rules(rules), _borrow_facts(facts)
    out, scratch = _borrow_outcome(out), _borrow_scratch(scratch)
    if contacts is None:
        for i in range(len(out.strategy)):
            barred = _ask_customer(rules, facts, out, scratch, i)
            _choose(rules, facts, out, scratch, i, barred, 0)
    else:
        asked, done = borrow_all(contacts), 0
        for i in range(len(out.strategy)):
            done = listen(asked, done, asked.event[i] + 1)
            barred = _ask_customer(rules, facts, out, scratch, i)
            hours = look_at_hours(asked, i)
            held, stopped = barred.held != 0, 0
            if hours.live:
                stopped = _stop(asked, hours, i, out.dropped[i], True)
                stopped = _stop(asked, hours, i, scratch.ghost, False) if held else stopped
            _choose(rules, facts, out, scratch, i, barred, stopped)
            if hours.live:
                count_contacts(asked, hours, i, out.strategy[i], out.ghost[i])
        listen(asked, done, len(asked.heard.row))


@_inlined
def _stop(
    asked: Contacts, hours: Hours, i: int, codes: npt.NDArray[np.int8], says_when: bool
) -> int:
    """Drops what rules about contacts and budgets stop; the reason when nothing is left, else 0."""
    if keep_back(asked, hours, i, codes, says_when):
        return Reason.CONTACT_RULES
    return Reason.BUDGET if keep_to_budgets(asked, codes) else 0


class Barred(NamedTuple):
    """What the stages before those of contacts said of one customer.

    Attributes:
        against: What speaks against all strategies, see `forbid`.
        held: Bits of the hold-outs that count.
        withheld: Whether a hold-out kept anything from them.
    """

    against: int
    held: int
    withheld: bool


@_inlined
def _ask_customer(rules: Rules, facts: Facts, out: Outcome, scratch: Scratch, i: int) -> Barred:
    """Consent, conditions, hold-outs."""
    against = forbid(rules.needs, facts.consent, facts.closed, rules.barred, i, out.dropped)
    exclude_ineligible(facts.eligible, i, out.dropped)
    held, withheld = facts.held_out[i] if rules.has_chance else 0, False
    if held:
        withheld = withhold(rules.covers, held, out.dropped[i], scratch.ghost)
    return Barred(against, held, withheld)


@_inlined
def _choose(
    rules: Rules, facts: Facts, out: Outcome, scratch: Scratch, i: int, barred: Barred,
    stopped: int,
) -> None:  # fmt: skip
    """Takes one of the strategies that are left, or nothing, and says why."""
    nothing, worth, chances = len(rules.barred), rules.worth, out.chances
    would_be, chosen = -1, nothing
    best = Best(nothing, 0.0, 0, 0, 0, False, False)
    for turn in range(2 if barred.held else 1):
        is_ghost = barred.held != 0 and turn == 0
        codes = scratch.ghost if is_ghost else out.dropped[i]
        best = arbitrate(worth, facts.scores, facts.raw, i, codes, scratch.gain)
        chosen = best.strategy
        if rules.has_chance:
            explore(rules.exploring, worth, best, scratch.gain, scratch.share)
            round_shares(scratch.share, chances[i])
            chosen = drawn(chances[i], facts.draw[i])
        if is_ghost:
            would_be = chosen
    _settle(worth, facts.scores, i, best, chosen, scratch.gain, out.dropped, out)
    out.ghost[i] = would_be
    lost = barred.withheld and (best.allowed == 0 or would_be not in (-1, nothing))
    if rules.all_paused:
        out.reason[i] = Reason.PAUSED
        return
    out.reason[i] = _reason(rules.has_model, best, chosen, nothing, barred.against, lost, stopped)


@_inlined
def _borrow_rules(rules: Rules) -> Rules:
    return Rules(
        borrow_needs(rules.needs), borrow(rules.barred), borrow(rules.covers),
        borrow_worth(rules.worth), rules.exploring, rules.has_chance, rules.has_model,
        rules.all_paused,
    )  # fmt: skip


@_inlined
def _borrow_facts(facts: Facts) -> Facts:
    return Facts(
        borrow(facts.scores), borrow(facts.eligible), borrow(facts.consent), borrow(facts.closed),
        borrow(facts.raw), borrow(facts.draw), borrow(facts.held_out),
    )  # fmt: skip


@_inlined
def _borrow_outcome(out: Outcome) -> Outcome:
    return Outcome(
        borrow(out.strategy), borrow(out.score), borrow(out.without), borrow(out.expected_value),
        borrow(out.reason), borrow(out.dropped), borrow(out.chances), borrow(out.explored),
        borrow(out.ghost),
    )  # fmt: skip


@_inlined
def _borrow_scratch(scratch: Scratch) -> Scratch:
    return Scratch(borrow(scratch.gain), borrow(scratch.ghost), borrow(scratch.share))


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
    has_model: bool, best: Best, chosen: int, nothing: int, against: int, held_out: bool,
    stopped: int,
) -> int:  # fmt: skip
    if chosen != best.strategy:
        return Reason.EXPLORED
    if chosen == nothing and stopped != 0 and best.allowed == 0:
        return stopped
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
