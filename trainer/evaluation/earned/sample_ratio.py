"""Whether as many customers are held out as there should be: if not, nothing that is compared is right.

Causes seen in practice: an arm that loses events, an engine that drops one arm's messages, a salt that was
used twice (Fabijan et al. 2019, "Diagnosing sample ratio mismatch in online controlled experiments").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stream.columns import Bools, Float64s, Int64s

ALPHA = 0.001
"""A broken experiment is certain to be found with many customers; a false alarm stops a good one."""


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """Customers that were held out, beside those that should have been.

    Attributes:
        held_out: Of them.
        customers: All.
        share: That should have been held out.
        p_value: Chance of such a count, or one further off.
    """

    held_out: int
    customers: int
    share: float
    p_value: float

    @property
    def is_broken(self) -> bool:
        """Whether chance does not explain it."""
        return self.p_value < ALPHA


def sample_ratio(held_out: int, customers: int, share: float) -> SampleRatio:
    """Tests a share (two-sided, normal approximation with continuity correction).

    Args:
        held_out: Customers that were.
        customers: All.
        share: That should have been, above 0 and below 1.

    Raises:
        ValueError: The share is none.
    """
    if not 0 < share < 1:
        raise ValueError(f"expected a share between 0 and 1, got {share}")
    spread = math.sqrt(max(customers, 1) * share * (1 - share))
    off = max(abs(held_out - share * customers) - 0.5, 0.0)
    return SampleRatio(held_out, customers, share, math.erfc(off / spread / math.sqrt(2)))


@dataclass(frozen=True, slots=True)
class Arm:
    """How often one thing was done, beside how often chance should have done it.

    Attributes:
        name: What was done.
        rows: How often.
        expected: How often it should have been, with the logged probabilities.
        p_value: Chance of such a difference, or a larger one.
    """

    name: str
    rows: int
    expected: float
    p_value: float


def arm_ratios(
    action: Int64s, propensity: Float64s, possible: Bools, names: Sequence[str]
) -> tuple[Arm, ...]:
    """Whether each thing was done as often as its logged probabilities say.

    With the probability p_i of what was done, the sum of 1 / p_i over the decisions with an action is the
    number of decisions in which it was possible (Horvitz and Thompson 1952), with the variance
    sum (1 - p_i) / p_i^2. Of equal probabilities it is the test of `sample_ratio`, but for the
    correction of continuity.

    Args:
        action: What was done. Shape (n,), int64.
        propensity: With which probability, above 0. Shape (n,), float64.
        possible: Whether each action could have been taken. Shape (n, K), bool.
        names: Of the K actions.
    """
    found = []
    for k, name in enumerate(names):
        p = propensity[action == k]
        there = int(possible[:, k].sum())
        if len(p) == 0 or there == 0:
            continue
        spread = math.sqrt(float(((1 - p) / p**2).sum()))
        off = float((1 / p).sum()) - there
        chance = math.erfc(abs(off) / spread / math.sqrt(2)) if spread > 0 else float(off == 0)
        found.append(Arm(name, len(p), there * len(p) / float((1 / p).sum()), chance))
    return tuple(found)


def broken_arms(arms: Sequence[Arm]) -> str:
    """Which arms chance does not explain, in a sentence without its stop; "" for none.

    `ALPHA` is that of all arms together (Bonferroni).
    """
    told = [
        f"{arm.expected:,.0f} of {arm.name}, got {arm.rows:,} (p = {arm.p_value:.1g})"
        for arm in arms
        if arm.p_value < ALPHA / len(arms)
    ]
    if not told:
        return ""
    return (
        f"expected, by the logged probabilities, about {'; '.join(told)}: rows are missing, or those are "
        "not the probabilities with which was decided, and nothing that is compared is right. "
        "Look for customers who were left out of one arm alone"
    )
