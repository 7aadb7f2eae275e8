"""Records that hold a batch of events, as the campaign file tells of them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from stream.campaign.topics_section import EventFormats
from stream.campaign.words import FieldPath


class EventBatches(EventFormats, frozen=True):
    """`batch` is where records hold an array of events: docs/events.md. A record without one is one event."""

    batch: FieldPath | None = None
    batch_events_max: Annotated[int, Meta(ge=1, le=100_000)] = 10_000


def wrong_batch(events: EventBatches) -> str:
    """Why the events of no batch can be read, "" if they can."""
    others = sorted(events.formats - {"json"})
    if events.batch is None or not others:
        return ""
    return (
        f'at events.batch: expected none with events.format = "{others[0]}", got "{events.batch}": '
        "batches of events are read in JSON alone"
    )
