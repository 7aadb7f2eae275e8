"""When strategies can be tried again, as JSON text: an object with a time for each that has one.

Rules of this file
1. As in `stream.decisions.json_text`.
"""

from __future__ import annotations

import numba

from stream.columns import Bytes, Int64s
from stream.compiled.borrow import borrow
from stream.compiled.bytecopy import copy_bytes
from stream.decisions.json_text import TIME_BYTES_MAX, write_time

_COMMA, _OPEN, _CLOSE = b",{}"


@numba.njit(nogil=True, cache=True, error_model="numpy")
def write_retries(
    epoch_ms: Int64s, key: Bytes, first: Int64s, length: Int64s,
    data: Bytes, at: int, start: Int64s, size: Int64s,
) -> int:  # fmt: skip
    """Appends objects with the time of each column that is not 0.

    Args:
        epoch_ms: Epoch milliseconds, 0 for none. Shape (n, columns).
        key: The key of each column, in quotes and with its colon.
        first: First byte of each key. Shape (columns,).
        length: Its length. Shape (columns,).
        data: See the rules of `json_text`, also for the rest.
    """
    data, key = borrow(data), borrow(key)
    # Many strategies wait for the same: the last two times that were written are copied.
    known_ms, known_at, other_ms, other_at = 0, 0, 0, 0
    for i in range(len(epoch_ms)):
        start[i] = at
        data[at] = _OPEN
        at += 1
        for k in range(epoch_ms.shape[1]):
            if epoch_ms[i, k] > 0:
                at = copy_bytes(key, first[k], length[k], data, at)
                if epoch_ms[i, k] != known_ms:
                    known_ms, known_at, other_ms, other_at = other_ms, other_at, known_ms, known_at
                if epoch_ms[i, k] == known_ms:
                    at = copy_bytes(data, known_at, TIME_BYTES_MAX, data, at)
                else:
                    known_ms, known_at = epoch_ms[i, k], at
                    at = write_time(known_ms, data, at)
                data[at] = _COMMA
                at += 1
        if at - start[i] > 1:
            at -= 1  # over the last comma
        data[at] = _CLOSE
        at += 1
        size[i] = at - start[i]
    return at
