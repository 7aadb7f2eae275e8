"""What the skip list of the campaign file leaves out of a history, said where it would have come."""

from __future__ import annotations

from collections.abc import Iterator

from stream.columns import RecordChunk, split
from stream.kafka.skip_list import Ranges
from trainer.history.gaps import SKIPPED, Gap


def with_gaps(chunk: RecordChunk, start: int, ranges: Ranges) -> Iterator[RecordChunk]:
    """A chunk, cut where records were left out, with the gaps in between.

    Args:
        chunk: Records without those that are skipped.
        start: Offset that the chunk begins at: between it and its first record there is none.
        ranges: What is skipped of the part of the partition that is read.
    """
    for low, high in ranges:
        if start <= low < chunk.next_offset:
            before, chunk = split(chunk, low)
            if len(before):
                yield before
            yield Gap.of(chunk.topic, chunk.partition, low, high, SKIPPED)
    yield chunk
