"""A history as a worker would have met it: the records of a partition, of several topics by their times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from stream.columns import RecordChunk, part
from trainer.history.source import OnRecords, Source


def by_arrival(
    source: Source, topics: Sequence[str], on_records: OnRecords | None = None
) -> Iterator[RecordChunk]:
    """The records of the topics, partition by partition, in each in the order of their timestamps.

    Args:
        source: An archive: what has the partitions of a topic one after the other.
        topics: The event topics.
        on_records: Told of the progress of the first topic.
    """
    streams = [
        _with_records(source.chunks([topic], on_records if i == 0 else None))
        for i, topic in enumerate(topics)
    ]
    heads = [next(stream, None) for stream in streams]
    while True:
        partitions = [head.partition for head in heads if head is not None]
        if not partitions:
            return
        mine = [
            i for i, head in enumerate(heads)
            if head is not None and head.partition == min(partitions)
        ]  # fmt: skip
        first = min(mine, key=lambda i: _earliest_ms(heads[i]))
        others_ms = min((_earliest_ms(heads[i]) for i in mine if i != first), default=None)
        head = heads[first]
        assert head is not None, "it was chosen among those that there are"
        size = len(head)
        if others_ms is not None:
            # Timestamps may go back in a topic: what stands before one that is early goes with it.
            later = np.maximum.accumulate(head.timestamp_ms) > others_ms
            size = max(int(np.argmax(later)), 1) if later.any() else size
        yield part(head, slice(0, size), int(head.offset[size - 1]) + 1)
        rest = part(head, slice(size, None), head.next_offset)
        heads[first] = rest if len(rest) else next(streams[first], None)


def _with_records(chunks: Iterator[RecordChunk]) -> Iterator[RecordChunk]:
    return (chunk for chunk in chunks if len(chunk))


def _earliest_ms(head: RecordChunk | None) -> int:
    assert head is not None, "only those that there are are compared"
    return int(head.timestamp_ms[0])
