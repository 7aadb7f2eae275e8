"""Whether the records of a chunk are keyed by their customer.

A key in quotes, as serializers of JSON write a string, is its customer, too: all records of a customer
then have the same one.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from stream.columns import Bytes, EventBatch, Int64s, RecordChunk
from stream.compiled.borrow import borrow
from stream.compiled.byteread import byte_at, word_at

_QUOTE = 0x22


class KeyCounts(NamedTuple):
    """Events by what the key of their record is.

    Attributes:
        null: There is none.
        differ: It is not the customer.
    """

    null: int = 0
    differ: int = 0


def compare_keys(chunk: RecordChunk, batch: EventBatch) -> KeyCounts:
    """Compares the keys of events with their customers.

    Args:
        chunk: The records, with keys.
        batch: The events among them.
    """
    counts = np.zeros(2, np.int64)
    key, customer = chunk.key, batch.customer
    _compare(
        key.data, key.start, key.size, batch.record,
        customer.data, customer.start, customer.size, counts,
    )  # fmt: skip
    return KeyCounts(*counts.tolist())


@numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def _same(a: Bytes, at: int, b: Bytes, start: int, size: int) -> bool:
    k = 0
    same = True
    while same and k + 8 <= size:
        same = word_at(a, at + k) == word_at(b, start + k)
        k += 8
    while same and k < size:
        same = byte_at(a, at + k) == byte_at(b, start + k)
        k += 1
    return same


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _compare(
    key: Bytes, key_start: Int64s, key_size: Int64s, record: Int64s,
    customer: Bytes, start: Int64s, size: Int64s, counts: Int64s,
) -> None:  # fmt: skip
    keys, customers = borrow(key), borrow(customer)
    null = differ = 0
    for i in range(len(record)):
        r = record[i]
        at, left = key_start[r], key_size[r]
        if left < 0:
            null += 1
            continue
        if (
            left == size[i] + 2
            and byte_at(keys, at) == _QUOTE
            and byte_at(keys, at + left - 1) == _QUOTE
        ):
            at, left = at + 1, left - 2
        if left != size[i] or not _same(keys, at, customers, start[i], left):
            differ += 1
    counts[0], counts[1] = null, differ
