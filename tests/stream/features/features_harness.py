"""A campaign with a feature of every kind, its events, and a table that is fed with them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from models.contract import Normalization
from stream.campaign.file import StrategySpec, parse
from stream.columns import EventBatch, Spans
from stream.features.plan import Applied, apply, compile_features

SECOND, HOUR, DAY = 1_000, 3_600_000, 86_400_000
START_MS = 1_760_000_000_123
CAMPAIGN = """
app = "test"
topics.events = ["first", "second"]
strategies = [{id = "one"}]
[[features]]
op = "count"
events = ["view", "buy"]
half_lives = ["1h", "7d"]
[[features]]
op = "count"
half_lives = ["1h"]
[[features]]
op = "sum"
name = "spent"
events = ["buy", "refund"]
property = "properties.revenue"
half_lives = ["1d"]
[[features]]
op = "recency"
events = ["buy", "*"]
cap = "5d"
[[features]]
op = "tenure"
[[features]]
op = "window_count"
events = ["buy"]
window = "3d"
[[features]]
op = "window_sum"
events = ["*"]
property = "properties.revenue"
window = "6h"
tile = "2h"
[[features]]
op = "last"
events = ["view", "buy"]
property = "properties.revenue"
[[features]]
op = "share"
property = "properties.category"
half_lives = ["1d", "7d"]
buckets = 3
[[features]]
op = "distinct"
events = ["view"]
property = "properties.category"
window = "2d"
[[features]]
op = "distinct"
property = "properties.brand"
[[features]]
op = "time_of_day"
[[features]]
op = "day_of_week"
"""
# A condition on every feature, so that `Applied.raw` tells each in float64, as the kernel read it.
NAMES = compile_features(parse(CAMPAIGN)).names
PLAN = compile_features(
    msgspec.structs.replace(
        parse(CAMPAIGN),
        strategies=(StrategySpec(id="one", eligible=tuple(f"{name} > 0" for name in NAMES)),),
    )
)
TYPES = {"view": 0, "buy": 1, "refund": 2}  # the plan's codes; -1 is any other


@dataclass(frozen=True)
class Event:
    """One event as the decoder delivers it."""

    customer: int
    topic: int
    offset: int
    time_ms: int
    code: int
    revenue: float
    category: int
    brand: int
    consent: int
    consent_only: bool = False
    event_hash: int = 0


def batch_of(events: list[Event]) -> EventBatch:
    empty = np.zeros(0, np.int64)
    none = Spans(np.zeros(0, np.uint8), empty, empty)
    times = np.array([e.time_ms for e in events], np.int64)
    return EventBatch(
        record=np.arange(len(events)),
        offset=np.array([e.offset for e in events], np.int64),
        received_ms=times,
        time_ms=times,
        customer=none,
        event_id=none,
        event_hash=np.array([e.event_hash for e in events], np.uint64),
        type_code=np.array([e.code for e in events], np.int16),
        number=np.array([[e.revenue for e in events]], np.float64),
        category=np.array(
            [[e.category for e in events], [e.brand for e in events]], np.uint64
        ).reshape(2, len(events)),
        consent=np.array([[e.consent for e in events]], np.int8),
        consent_only=np.array([e.consent_only for e in events], np.bool_),
        element=np.full(len(events), -1, np.int32),
        is_last=np.ones(len(events), np.bool_),
    )


class Table:
    """A customer table that is fed with lists of events."""

    def __init__(self, normalization: Normalization | None = None) -> None:
        self.state = np.zeros((4, PLAN.row_words))
        self.normalization = normalization or Normalization.identity(len(NAMES))

    def feed(self, events: list[Event]) -> Applied:
        rows = np.array([e.customer for e in events], np.int64)
        topic = events[0].topic if events else 0
        return apply(PLAN, self.state, rows, batch_of(events), topic, self.normalization)

    def values(self, events: list[Event]) -> dict[str, float]:
        """Features after the last of some events, neither transformed nor normalized."""
        return dict(zip(NAMES, self.feed(events).raw[-1].tolist(), strict=True))


def pieces(events: list[Event], cuts: Iterable[int] = ()) -> list[list[Event]]:
    """The log cut at those places, and where the topic changes, as one batch is of one topic."""
    at = {0, len(events), *cuts}
    at |= {i for i in range(1, len(events)) if events[i].topic != events[i - 1].topic}
    places = sorted(place for place in at if place <= len(events))
    return [events[a:b] for a, b in itertools.pairwise(places)]


def event(after_ms: int = 0, code: int = 0, offset: int = 0, **fields: Any) -> Event:
    known = {
        "customer": 0,
        "topic": 0,
        "revenue": math.nan,
        "category": 0,
        "brand": 0,
        "consent": -1,
    }
    return Event(offset=offset, time_ms=START_MS + after_ms, code=code, **{**known, **fields})
