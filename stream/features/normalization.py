"""From values to what a model reads: transform, z-score, clip, float32.

Rules of this file
1. Elementwise and branch-free, so that LLVM computes eight features at a time; no fastmath.
2. log1p is plain arithmetic: the same bits on every machine, and seven times as fast as the calls
   into libm that keep a loop from being vectorized (34 values: 50 ns, libm 350 ns).
"""

from __future__ import annotations

import math

import numba
import numpy as np

from stream.columns import Bools, Float32s, Float64s, Int64s

LOG1P, SIGNLOG, NONE = range(3)
"""Transforms: log(1 + x); the same for |x| with the sign of x; x itself."""

# fdlibm, s_log1p.c (Sun Microsystems, 1993): ln 2 in two parts, and the minimax polynomial of
# (log(1+f) - log(1-f)) / s - 2 over s*s, where s = f / (2 + f).
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_P1, _P2, _P3, _P4, _P5, _P6, _P7 = (
    6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01,
    2.222219843214978396e-01, 1.818357216161805012e-01, 1.531383769920937332e-01,
    1.479819860511658591e-01,
)  # fmt: skip
_SQRT_HALF = 0x3FE6A09E00000000  # upper bits of sqrt(1/2)
_FRACTION = 0x000FFFFFFFFFFFFF

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def log1p(x: float) -> float:
    """log(1 + x) within one ulp.

    With 1 + x = 2^k (1 + f) and sqrt(1/2) <= 1 + f < sqrt(2), it is k ln 2 + log(1 + f).
    """
    u = 1.0 + x
    bits = np.float64(u).view(np.int64) - _SQRT_HALF
    k = bits >> 52
    f: float = np.int64((bits & _FRACTION) + _SQRT_HALF).view(np.float64) - 1.0
    lost = (1.0 - (u - x) if x >= 1.0 else x - (u - 1.0)) / u  # by rounding 1 + x
    f = x if k == 0 else f
    lost = 0.0 if k == 0 else lost
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    even = w * (_P2 + w * (_P4 + w * _P6))
    odd = z * (_P1 + w * (_P3 + w * (_P5 + w * _P7)))
    half = 0.5 * f * f
    scale = np.float64(k)
    y: float = s * (half + odd + even) + (scale * _LN2_LOW + lost) - half + f + scale * _LN2_HIGH
    y = x if not x < np.inf else y
    y = -np.inf if x == -1.0 else y
    return np.nan if x < -1.0 else y


@_jit
def normalize(
    values: Float64s, applied: Bools, transforms: Int64s, mean: Float64s, std: Float64s,
    clip: float, out: Float32s,
) -> None:  # fmt: skip
    """Writes clipped z-scores; a missing value (NaN) becomes 0, the mean of the training data.

    Args:
        values: Features. Shape (n, F), float64.
        applied: Rows to write; the others become 0. Shape (n,), bool.
        transforms: Transform of each feature. Shape (F,), int64.
        mean: Mean of each transformed feature. Shape (F,), float64.
        std: Its standard deviation, above 0. Shape (F,), float64.
        clip: Largest absolute z-score.
        out: Shape (n, F), float32.
    """
    for i in range(len(values)):
        if not applied[i]:
            out[i, :] = 0.0
            continue
        for column in range(values.shape[1]):
            x = values[i, column]
            transform = transforms[column]
            y = log1p(abs(x) if transform == SIGNLOG else x)
            y = -y if transform == SIGNLOG and x < 0.0 else y
            y = x if transform == NONE else y
            z = min(max((y - mean[column]) / std[column], -clip), clip)
            out[i, column] = 0.0 if math.isnan(y) else z
