"""Event ids as 64-bit hashes: what a customer's row remembers of them.

Rules of this file
1. A hash lies in changelogs for years: the same id gives the same hash in every process, on every
   machine, in every version. So its key is public, other than that of tables in memory: whoever makes
   two ids that collide takes an event from himself.
"""

from __future__ import annotations

import numba
import numpy as np

from stream.columns import Bytes, Int64s, Spans, UInt64s
from stream.compiled.keyed_hash import hash_key, keyed_hash

_KEY = hash_key(b"opportune.events")


def event_hashes(event_id: Spans) -> UInt64s:
    """SipHash-1-3 of each id, never 0; 0 for null and for an empty one. Shape (n,), uint64."""
    out = np.empty(len(event_id), np.uint64)
    _hash_all(event_id.data, event_id.start, event_id.size, out)
    return out


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _hash_all(data: Bytes, start: Int64s, size: Int64s, out: UInt64s) -> None:
    for i in range(len(start)):
        value = np.uint64(0)
        if size[i] > 0:
            value = max(keyed_hash(data, start[i], size[i], _KEY), np.uint64(1))
        out[i] = value
