"""A mapping with declared types and properties, and records whose values are events."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream.campaign.file import EventMapping
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
    return RecordChunk(
        "events", 0, np.arange(100, 100 + n), np.full(n, time_ms), Spans.of([None] * n),
        Spans.of(values), 100 + n,
    )  # fmt: skip
