"""What strategies earn: customers who were treated beside those who were held out.

A customer is the unit that chance has decided about: in the hold-out, or in none. What a customer brings is
the money of the outcomes that are counted for a contact, or for the contact that they would have had, less
what contacts cost. The difference of the means of the arms is what the contacts have earned per customer.

Rules of this file
1. Intervals may be looked at every day (`trainer.evaluation.earned.always_valid`): their clock is the number
   of contacts and of those that would have been, which grows as the information does.
2. Contacts whose window is not over do not count, in neither arm.
3. A broken sample ratio is told first: then nothing that follows is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from msgspec import Struct

from stream.columns import Bools, Float64s, Int64s
from trainer.evaluation.earned.always_valid import half_width
from trainer.evaluation.earned.sample_ratio import sample_ratio

CUSTOMERS_MIN = 30
OUTCOMES_MIN = 20
"""Fewer in either arm, and a mean is not yet nearly normal: with 20 outcomes in both together, and a twentieth
held out, 10 % of the shops without an effect were told of one on some day of 180; with 20 in each, 3 %."""
_WEEK_MS = 7 * 86_400_000
_MONDAY_MS = 4 * 86_400_000
"""1970-01-05 was a Monday."""


class Bound(Struct, frozen=True):
    """A difference between the arms, with the ends of its interval; None with too few customers or outcomes."""

    value: float
    low: float | None
    high: float | None


class Line(Struct, frozen=True, kw_only=True):
    """What one strategy, one week, or all of them earned.

    Attributes:
        contacts: Of customers who were treated.
        ghosts: Contacts that customers who were held out would have had.
        outcomes: Of customers who were treated, counted for contacts.
        outcomes_held_out: Of those who were held out.
        rate: Outcomes per customer of those who were treated.
        rate_held_out: Of those who were held out.
        lift: Difference of the two.
        per_customer: Money earned per customer who was treated, costs taken off.
        total: The same of all of them.
    """

    contacts: int
    ghosts: int
    outcomes: int
    outcomes_held_out: int
    rate: float
    rate_held_out: float
    lift: Bound
    per_customer: Bound
    total: Bound


class Ratio(Struct, frozen=True, kw_only=True):
    """Customers who were held out beside those who should have been; broken if chance does not explain it."""

    held_out: int
    customers: int
    share: float
    p_value: float
    broken: bool


class Earned(Struct, frozen=True, kw_only=True):
    """What was earned.

    Attributes:
        holdout: The hold-out that it was measured by.
        outcome: Event type that counts.
        window: How long after a contact it counts.
        confidence: Chance that an interval holds the truth, at all times together.
        customers: Who were treated.
        ratio: Of the arms.
        immature: Contacts whose window is not over.
        all: Of everything.
        strategies: By strategy.
        weeks: By week of the contact, named by its Monday.
        notices: What to know, in sentences.
    """

    holdout: str
    outcome: str
    window: str
    confidence: float
    customers: int
    ratio: Ratio
    immature: int
    all: Line
    strategies: dict[str, Line]
    weeks: dict[str, Line]
    notices: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """One of broken, earns, loses, open: what the interval of all says."""
        total = self.all.total
        if self.ratio.broken:
            return "broken"
        if total.low is None or total.high is None:
            return "open"
        return "earns" if total.low > 0 else "loses" if total.high < 0 else "open"


@dataclass(frozen=True, slots=True, eq=False)
class Contacts:
    """m contacts, and those that would have been, of N customers in two arms.

    Attributes:
        customer: Shape (m,), int64.
        strategy: Index of the strategy. Shape (m,), int64.
        time_ms: Epoch milliseconds. Shape (m,), int64.
        outcomes: Counted for it. Shape (m,), int64.
        money: Of them, less the cost of what was done. Shape (m,), float64.
        held_out: Of each customer. Shape (N,), bool.
    """

    customer: Int64s
    strategy: Int64s
    time_ms: Int64s
    outcomes: Int64s
    money: Float64s
    held_out: Bools


def earned(
    contacts: Contacts, names: Sequence[str], share: float, *, holdout: str, outcome: str,
    window: str, confidence: float = 0.95,
) -> Earned:  # fmt: skip
    """Compares the arms.

    Args:
        contacts: All whose window is over.
        names: Of the strategies.
        share: That should be held out, of the customers of both arms.
        holdout: As in `Earned`, as the next two.
        outcome: Event type that counts.
        window: How long after a contact.
        confidence: Of the intervals.
    """
    held = contacts.held_out
    found = sample_ratio(int(held.sum()), len(held), share)
    monday = (contacts.time_ms - _MONDAY_MS) // _WEEK_MS * _WEEK_MS + _MONDAY_MS
    everything = np.ones(len(contacts.customer), np.bool_)
    return Earned(
        holdout=holdout,
        outcome=outcome,
        window=window,
        confidence=confidence,
        customers=int((~held).sum()),
        ratio=Ratio(
            held_out=found.held_out, customers=found.customers, share=share,
            p_value=found.p_value, broken=found.is_broken,
        ),
        immature=0,
        all=_line(contacts, everything, confidence),
        strategies={
            name: _line(contacts, contacts.strategy == k, confidence)
            for k, name in enumerate(names)
            if (contacts.strategy == k).any()
        },
        weeks={
            str(np.datetime64(int(start), "ms").astype("datetime64[D]")): _line(
                contacts, monday == start, confidence
            )
            for start in np.unique(monday)
        },
    )  # fmt: skip


def _line(contacts: Contacts, of: Bools, confidence: float) -> Line:
    """Of some of the contacts."""
    held, customer = contacts.held_out, contacts.customer[of]
    outcomes, money = (
        np.bincount(customer, brought[of], len(held)).astype(np.float64)
        for brought in (contacts.outcomes, contacts.money)
    )
    ghosts, treated = int(held[customer].sum()), int((~held).sum())
    per_customer = _difference(money, outcomes, held, len(customer), confidence)
    return Line(
        contacts=len(customer) - ghosts,
        ghosts=ghosts,
        outcomes=int(outcomes[~held].sum()),
        outcomes_held_out=int(outcomes[held].sum()),
        rate=_mean(outcomes[~held]),
        rate_held_out=_mean(outcomes[held]),
        lift=_difference(outcomes, outcomes, held, len(customer), confidence),
        per_customer=per_customer,
        total=Bound(*(
            None if one is None else one * treated
            for one in (per_customer.value, per_customer.low, per_customer.high)
        )),  # type: ignore[arg-type]  # the value is none of the None
    )  # fmt: skip


def _difference(
    brought: Float64s, outcomes: Float64s, held: Bools, units: int, confidence: float
) -> Bound:
    """Mean of those who were treated less that of those who were held out."""
    treated, alone = brought[~held], brought[held]
    value = _mean(treated) - _mean(alone)
    fewest = min(outcomes[~held].sum(), outcomes[held].sum())
    if min(len(treated), len(alone)) < CUSTOMERS_MIN or fewest < OUTCOMES_MIN:
        return Bound(value, None, None)
    error = float(np.sqrt(treated.var(ddof=1) / len(treated) + alone.var(ddof=1) / len(alone)))
    wide = half_width(error, units, confidence)
    return Bound(value, value - wide, value + wide)


def _mean(values: Float64s) -> float:
    return float(values.mean()) if len(values) else 0.0
