"""In which order a worker has taken several topics, for referees: as its markers and its decisions say.

What was caught up with was taken in the order of record timestamps, here merged record by record; what came
later as its decisions stand on their topic for the first time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from stream.columns import RecordChunk
from stream.state.changelog import Marker, Stretch

Event = tuple[str, int]
"""Topic and offset."""


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
    chunks: Mapping[str, RecordChunk], decided: Sequence[Event], caught_up: Sequence[Stretch]
) -> list[Event]:
    """Which topic was taken up to before which offset, one after the other.

    Args:
        chunks: All records of each topic, in the order of the campaign.
        decided: The events in the order of the decisions about them.
        caught_up: What was caught up with.
    """
    if len(chunks) == 1:
        return [(topic, chunk.next_offset) for topic, chunk in chunks.items()]
    ends, position = list[Event](), dict.fromkeys(chunks, 0)
    for stretch in caught_up:
        ends += _as_decided(decided, position, stretch.start)
        ends += _merged(chunks, stretch)
        position = {topic: max(position[topic], stretch.end.get(topic, 0)) for topic in chunks}
    ends += _as_decided(decided, position, {t: chunk.next_offset for t, chunk in chunks.items()})
    return [*ends, *((topic, chunk.next_offset) for topic, chunk in chunks.items())]


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


def _merged(chunks: Mapping[str, RecordChunk], stretch: Stretch) -> list[Event]:
    """Record at a time: the topic whose next record is the oldest."""
    reached_ms = dict.fromkeys(chunks, -1)
    records = []
    for number, (topic, chunk) in enumerate(chunks.items()):
        at = zip(chunk.offset.tolist(), chunk.timestamp_ms.tolist(), strict=True)
        for offset, timestamp_ms in at:
            reached_ms[topic] = max(reached_ms[topic], timestamp_ms)
            if stretch.start.get(topic, 0) <= offset < stretch.end.get(topic, 0):
                records.append((reached_ms[topic], number, offset, topic))
    return [(topic, offset + 1) for _, _, offset, topic in sorted(records)]
