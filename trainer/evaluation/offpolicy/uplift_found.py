"""What uplift curves say, as plain data."""

from __future__ import annotations

from msgspec import Struct


class Sure(Struct, frozen=True, array_like=True):
    """A number, and the ends of its interval."""

    value: float
    low: float
    high: float


class UpliftCurve(Struct, frozen=True, kw_only=True):
    """As `trainer.evaluation.offpolicy.uplift.Curve`, with fewer points.

    Attributes:
        strategy: Whose; empty of the best for each customer.
        share: Of the customers who are contacted, those first of whom the model expects most.
        gain: Money per customer over doing nothing.
        low: Lower ends of the intervals.
        high: Upper ends.
        auuc: Area under the curve.
        qini: Area between the curve and the straight line to its end.
    """

    strategy: str
    share: tuple[float, ...]
    gain: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    auuc: Sure
    qini: Sure


class Tenth(Struct, frozen=True):
    """Customers with similar expected gains: how many decisions, what was expected, what came."""

    rows: int
    expected: float
    gain: Sure


class Uplift(Struct, frozen=True, kw_only=True):
    """Who reacts to what.

    Attributes:
        curves: Of the best strategy for each customer, then of every strategy.
        tenths: By the expected gain of the best strategy, the highest first.
    """

    curves: tuple[UpliftCurve, ...]
    tenths: tuple[Tenth, ...]
