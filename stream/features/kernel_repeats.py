"""Whether an event is one that its customer's row remembers: part of `kernel.py`, under its rules.

A ring of hashes of event ids stands at the end of a row, behind a word that says where the next one
goes. An id stands for its event within one topic: senders that number their orders and their mails
from 1 on do not mean the same.
"""

from __future__ import annotations

import numba
import numpy as np

from stream.columns import Bools, Int64s, UInt64s

_inline = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
_TOPIC = np.uint64(0x9E3779B97F4A7C15)  # so far apart that topics share no hash


@_inline
def recall(
    event_hash: np.uint64, topic: int, first: int, size: int, ints: Int64s, row: int
) -> bool:
    """Whether a row has the event in its ring; if it has not, the event takes the oldest one's place.

    Args:
        event_hash: Hash of the event id, 0 for none: nobody can tell that it comes again.
        topic: Index of its topic.
        first: Word that says where in the ring the next one goes; the ring comes after it.
        size: Words of the ring, 0 for none.
        ints: The table. Changed.
        row: Of the customer.
    """
    if size == 0 or event_hash == np.uint64(0):
        return False
    told = event_hash ^ (np.uint64(topic) * _TOPIC)
    mark = np.int64(told if told != np.uint64(0) else np.uint64(1))  # 0 is no event
    found = False
    for k in range(size):
        found |= (
            ints[row, np.uintp(first + 1 + k)] == mark
        )  # unsigned: no test for a negative index
    if not found:
        at = ints[row, first]
        ints[row, first + 1 + at] = mark
        ints[row, first] = at + 1 if at + 1 < size else 0
    return found


@numba.njit(nogil=True, cache=True, error_model="numpy")
def find_repeats(row: Int64s, topic: Int64s, event_hash: UInt64s, ring: Int64s, out: Bools) -> None:
    """Finds the events that `kernel.apply_events` finds repeated, and computes nothing else.

    Args:
        row: Row of the customer of each event, in the order of the replay. Shape (n,), int64.
        topic: Index of its topic. Shape (n,), int64.
        event_hash: Hash of its id. Shape (n,), uint64.
        ring: A row of zeros for each customer, changed in place. Shape (rows, 1 + size), int64.
        out: Whether it was there before. Shape (n,), bool.
    """
    for i in range(len(row)):
        out[i] = recall(event_hash[i], topic[i], 0, ring.shape[1] - 1, ring, row[i])
