"""What tests of events share: a mapping of flat events, what is read of them, chunks of values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream.campaign import EventMapping
from stream.columns import RecordChunk, Spans

NOW_MS = 1_760_000_000_000
TYPES = ("view", "Order Completed", "identify", "page", "screen", "größe")
NUMBERS = ("properties.value", "properties.revenue")
CATEGORIES = ("properties.category", "properties.channel")
FLAT = EventMapping(
    customer_id=("customer_id",), event_id=("event_id",), type=("type",),
    timestamp=("timestamp",), consent=("consent",),
)  # fmt: skip


def chunk_of(values: Sequence[bytes | None], time_ms: int) -> RecordChunk:
    """Records of one partition with these values and null keys, offsets from 100."""
    n = len(values)
    size = np.array([-1 if value is None else len(value) for value in values], np.int64)
    start = np.cumsum(np.maximum(size, 0)) - np.maximum(size, 0)
    data = np.frombuffer(b"".join(value or b"" for value in values), np.uint8)
    null = Spans(data, np.zeros(n, np.int64), np.full(n, -1))
    offset = np.arange(100, 100 + n)
    value = Spans(data, start, size)
    return RecordChunk("events", 0, offset, np.full(n, time_ms), null, value, 100 + n)
