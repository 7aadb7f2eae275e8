"""Customers in buckets, alike in every partition, and whether they are in one partition each.

The bucket of a customer is decided by the id alone: who is in several partitions is in one bucket of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from stream.columns import Int64s, Spans, UInt64s
from stream.events.field_kernels import read_categories
from stream.events.flaws import tally
from stream.events.scan import STRING
from stream.keys.key_sample import KeySample, disagreement
from stream.keys.spread import Spread, spread
from stream.state.table import CustomerTable
from trainer.replay.spill import Shard

BUCKETS = 16
"""Shards of one partition."""
_CUSTOMERS_OF_PARTITION_MIN = 8
_BUCKET_SHIFT = np.uint64(64 - 4)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing: FNV alone leaves the upper bits alike


def by_bucket(customer: Spans) -> Iterator[tuple[int, Int64s]]:
    """The buckets that have customers, and the indices of these, rising."""
    n = len(customer)
    hashes = np.empty(n, np.uint64)
    read_categories(
        customer.data, np.full(n, STRING, np.uint8), customer.start, customer.size,
        False, np.ones(n, np.bool_), hashes, tally(1)[0],
    )  # fmt: skip
    bucket = ((hashes * _GOLDEN) >> _BUCKET_SHIFT).astype(np.uint8)
    order = np.argsort(bucket, kind="stable")
    for index in np.split(order, np.flatnonzero(np.diff(bucket[order])) + 1):
        if len(index):
            yield int(bucket[index[0]]), index


def spread_of(tables: Mapping[Shard, CustomerTable]) -> Spread:
    """The customers of some tables, and how many of them are in several partitions."""
    buckets: dict[int, list[UInt64s]] = {}
    for shard, table in tables.items():
        buckets.setdefault(shard.bucket, []).append(table.hashes)
    return sum(map(spread, buckets.values()), Spread())


def misplaced(keys: KeySample, partitions: int, customers: int) -> str:
    """What to do about keys that not one partitioner has placed; "" when nothing says so.

    Args:
        keys: Some keys of the event topics.
        partitions: Partitions that records were seen in: there may be more, without any.
        customers: Customers there are; with few of them a partition may well be empty.
    """
    if customers < _CUSTOMERS_OF_PARTITION_MIN * partitions:
        return ""
    return disagreement(keys.placed(partitions))
