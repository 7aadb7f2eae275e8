"""How sure a number is: the same number for other customers that might have come.

Customers are drawn with replacement, with all their examples: those of one customer are alike, and
drawing examples instead would make intervals too narrow (Field and Welsh 2007, "Bootstrapping
clustered data", Journal of the Royal Statistical Society B 69).

Rules of this file
1. Resample 0 is the sample itself.
2. The same seed and the same customers give the same resamples, for every model and metric: the
   difference of two models is taken within each.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stream.columns import Float32s, Float64s
from trainer.evaluation.evaluation import Estimate
from trainer.evaluation.kernels import WIDTH

CUSTOMERS_MIN = 10
"""With fewer customers a resample says little about other customers: no interval."""
_KNOWN_MIN = 0.9  # share of the resamples that have the metric; with fewer the rest is a selection


def chunks(resamples: int) -> int:
    """Chunks of `WIDTH` that hold the sample and that many resamples."""
    return -(-(1 + resamples) // WIDTH)


def draw(customers: int, seed: int, chunk: int) -> npt.NDArray[np.uint8]:
    """How often each resample has each customer. Shape (customers, WIDTH), uint8."""
    random = np.random.default_rng([seed, chunk])
    counts = np.empty((customers, WIDTH), np.uint8)
    for r in range(WIDTH):
        drawn = random.integers(0, customers, customers)
        counts[:, r] = np.bincount(drawn, minlength=customers)
    if chunk == 0:
        counts[:, 0] = 1
    return counts


def estimate(draws: Float32s | Float64s, customers: int, confidence: float) -> Estimate | None:
    """A number and its percentile interval, None when the sample does not have the number.

    The interval holds the number: that of a calibration error, which chance can only raise, could
    lie wholly above it.

    Args:
        draws: The number in each resample, NaN where it is not defined. Shape (1 + resamples,).
        customers: Customers behind it.
        confidence: Share of the resamples inside the interval.
    """
    value, resampled = float(draws[0]), draws[1:][np.isfinite(draws[1:])]
    if not np.isfinite(value):
        return None
    if customers < CUSTOMERS_MIN or len(resampled) < _KNOWN_MIN * (len(draws) - 1):
        return Estimate(value, None, None)
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, (tail, 1 - tail))
    return Estimate(value, min(value, float(low)), max(value, float(high)))


def estimates(
    draws: Float32s | Float64s, customers: int, confidence: float
) -> list[Estimate | None]:
    """`estimate` of many numbers, quickly when every resample has all of them.

    Args:
        draws: The numbers in each resample. Shape (k, 1 + resamples).
        customers: As in `estimate`.
        confidence: As in `estimate`.
    """
    if customers < CUSTOMERS_MIN or not np.isfinite(draws).all():
        return [estimate(one, customers, confidence) for one in draws]
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws[:, 1:], (tail, 1 - tail), axis=1)
    value = draws[:, 0]
    ends = zip(value, np.minimum(value, low), np.maximum(value, high), strict=True)
    return [Estimate(*map(float, one)) for one in ends]
