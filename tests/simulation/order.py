"""In which order the events of several topics were taken, as the decisions show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stream.columns import RecordChunk, split

Event = tuple[str, int]
"""Topic and offset."""


def in_order(chunks: Mapping[str, RecordChunk], decided: Sequence[Event]) -> list[RecordChunk]:
    """Pieces of the chunks in the order in which they were decided for the first time.

    Args:
        chunks: All events of each topic.
        decided: The events in the order of the decisions about them.
    """
    if len(chunks) == 1:
        return list(chunks.values())
    left = dict(chunks)
    ends: list[Event] = []
    position = dict.fromkeys(chunks, -1)
    for topic, offset in decided:
        if offset > position[topic]:
            position[topic] = offset
            if ends and ends[-1][0] == topic:
                ends.pop()
            ends.append((topic, offset + 1))
    pieces = []
    for topic, end in ends:
        piece, left[topic] = split(left[topic], end)
        pieces.append(piece)
    return [*pieces, *left.values()]
