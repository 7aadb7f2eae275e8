"""Reading single bytes of a buffer inside numba loops."""

from __future__ import annotations

import numba
import numpy as np

from stream.columns import Bytes

_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@_inlined
def byte_at(data: Bytes, at: int) -> int:
    """data[at] for hot loops: an unsigned index spares the test for a negative one."""
    return int(data[np.uintp(at)])
