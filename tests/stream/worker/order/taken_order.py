"""In which order a worker has taken several topics, for referees: as its markers and its decisions say.

What was caught up with was taken in the order of event times, here merged record by record; what came
later as its decisions stand on their topic for the first time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from stream.columns import Int64s, RecordChunk
from stream.state.marker import Marker, Stretch

Event = tuple[str, int]
"""Topic and offset."""

Timed = tuple[RecordChunk, Int64s]
"""Records, and the times of their events, -1 for none."""


def stretches(markers: Iterable[Marker]) -> list[Stretch]:
    """What was caught up with, by all markers of a partition in the order of its changelog.

    One that nobody has gone on with was announced by a worker that ended before it decided anything.
    """
    known, generation = list[Stretch](), 0
    for marker in markers:
        if marker.generation < generation:
            continue
        generation, told = marker.generation, marker.aligned or []
        gone_by = [
            one
            for one in known
            if all(end <= marker.covered.get(topic, 0) for topic, end in one.end.items())
        ]
        known = [*gone_by, *(one for one in told if one not in gone_by)]
    return sorted(known, key=lambda one: sum(one.end.values()))


def taken_order(
    chunks: Mapping[str, Timed], decided: Sequence[Event], caught_up: Sequence[Stretch]
) -> list[Event]:
    """Which topic was taken up to before which offset, one after the other.

    Args:
        chunks: All records of each topic and the times of their events, in the order of the campaign.
        decided: The events in the order of the decisions about them.
        caught_up: What was caught up with.
    """
    if len(chunks) == 1:
        return [(topic, chunk.next_offset) for topic, (chunk, _) in chunks.items()]
    ends, position = list[Event](), dict.fromkeys(chunks, 0)
    for stretch in caught_up:
        ends += _as_decided(decided, position, stretch.start)
        ends += _merged(chunks, stretch)
        position = {topic: max(position[topic], stretch.end.get(topic, 0)) for topic in chunks}
    whole = {topic: chunk.next_offset for topic, (chunk, _) in chunks.items()}
    return [*ends, *_as_decided(decided, position, whole), *whole.items()]


def _as_decided(
    decided: Sequence[Event], start: Mapping[str, int], end: Mapping[str, int]
) -> list[Event]:
    ends, position = list[Event](), {topic: offset - 1 for topic, offset in start.items()}
    for topic, offset in decided:
        if position[topic] < offset < end.get(topic, 0):
            position[topic] = offset
            if ends and ends[-1][0] == topic:
                ends.pop()
            ends.append((topic, offset + 1))
    return [*ends, *end.items()]


def _merged(chunks: Mapping[str, Timed], stretch: Stretch) -> list[Event]:
    """Record at a time: the topic whose next event is the oldest."""
    reached_ms = dict.fromkeys(chunks, -1)
    records = []
    for number, (topic, (chunk, event_ms)) in enumerate(chunks.items()):
        for offset, time_ms in zip(chunk.offset.tolist(), event_ms.tolist(), strict=True):
            reached_ms[topic] = max(reached_ms[topic], time_ms)
            if stretch.start.get(topic, 0) <= offset < stretch.end.get(topic, 0):
                records.append((reached_ms[topic], number, offset, topic))
    return [(topic, offset + 1) for _, _, offset, topic in sorted(records)]
