"""Whether as many customers are held out as there should be: if not, nothing that is compared is right.

Causes seen in practice: an arm that loses events, an engine that drops one arm's messages, a salt that was
used twice (Fabijan et al. 2019, "Diagnosing sample ratio mismatch in online controlled experiments").
"""

from __future__ import annotations

import math
from dataclasses import dataclass

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
