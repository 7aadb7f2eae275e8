"""Intervals that may be looked at every day: right at all times at once, not at one chosen beforehand.

An ordinary interval that is looked at daily for half a year is wrong at some time in most experiments
without an effect. An asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas
2024, "Time-uniform central limit theory and asymptotic confidence sequences", theorem 2.2) is wrong at
any time with probability alpha at most: the price is an interval wider by half and more.

    error * sqrt(2 (N rho^2 + 1) / (N rho^2) * ln(sqrt(N rho^2 + 1) / alpha))
"""

from __future__ import annotations

import math

TIGHTEST_AT = 5_000
"""Customers at which the interval is closest to an ordinary one."""


def half_width(
    error: float, customers: int, confidence: float = 0.95, tightest_at: int = TIGHTEST_AT
) -> float:
    """Half the width of the interval around an estimate.

    Args:
        error: Standard error of the estimate, clustered by customer.
        customers: Behind the estimate; or whatever else grows as the information does, such as contacts.
        confidence: Chance that the intervals hold the truth at all times.
        tightest_at: Customers for which it is made as short as can be; any choice is valid.
    """
    alpha = 1 - confidence
    rho_squared = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / tightest_at
    time = customers * rho_squared
    if time <= 0:
        return math.inf
    return error * math.sqrt(2 * (time + 1) / time * math.log(math.sqrt(time + 1) / alpha))
