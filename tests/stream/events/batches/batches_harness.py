"""Decoders of records that hold batches, and what they find."""

from __future__ import annotations

import json
from typing import Any

from stream.campaign.file import EventMapping
from stream.events.decoder import EventDecoder
from stream.events.flaws import Decoded
from tests.stream.events.events_harness import CATEGORIES, NOW_MS, NUMBERS, TYPES, chunk_of

SEGMENT = EventMapping(batch="batch")


def decoder_of(mapping: EventMapping = SEGMENT) -> EventDecoder:
    return EventDecoder(mapping, TYPES, NUMBERS, CATEGORIES)


def decoded(*records: Any, mapping: EventMapping = SEGMENT) -> Decoded:
    values = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in records]
    return decoder_of(mapping).decode(chunk_of(values, NOW_MS), NOW_MS)


def who(found: Decoded) -> list[tuple[int, int, bytes | None, bytes | None, int]]:
    batch = found.batch
    return [
        (int(batch.record[k]), int(batch.element[k]), batch.customer[k], batch.event_id[k],
         int(batch.time_ms[k]))
        for k in range(len(batch))
    ]  # fmt: skip
