"""What a policy earns, as the gate looks at it; or why nothing can be said of that."""

from __future__ import annotations

from msgspec import Struct

from trainer.gate.checks import Interval


class Money(Struct, frozen=True, kw_only=True):
    """What a policy earns per decision, in the unit of the values, costs taken off.

    Attributes:
        decisions: That judged it.
        effective: How many of them count, in effect: those in which it does what was done.
        contacts: Share of the decisions in which it acts.
        value: What it earns.
        over_nothing: Paired difference to doing nothing.
        best_constant: The strategy that would have earned most if everybody had got it, or nothing; chosen on other
            decisions.
        over_best_constant: Paired difference to it.
        over_champion: Paired difference to the champion; None when there is none to compare with.
    """

    decisions: int
    effective: float
    contacts: float
    value: Interval
    over_nothing: Interval
    best_constant: str
    over_best_constant: Interval
    over_champion: Interval | None = None


class Unproven(Struct, frozen=True):
    """No verdict on money.

    Attributes:
        reason: Why, with what was expected and what came.
    """

    reason: str
