"""What workers caught up with in the order of event times: the newest marker of a changelog says it."""

from __future__ import annotations

import msgspec
import numpy as np

from stream.columns import RecordChunk
from stream.state.marker import MARKER_KEY, Marker, Stretch
from trainer.history.topics import Extent
from trainer.parity.archived import ArchivedTopics
from trainer.parity.partition_reader import Topics

_FIRST_RECORDS = 4_096


def caught_up(
    topics: Topics | ArchivedTopics, changelog: str, partition: int, extent: Extent
) -> list[Stretch]:
    """The stretches that were decided, of one partition; none when there is no marker.

    A checkpoint ends with a marker, so the newest one stands near the end; what is before it is a table of
    customers, and read only as far as need be.

    Args:
        topics: Where the changelog is read.
        changelog: Its name.
        partition: Which.
        extent: What it holds.
    """
    records, marker = _FIRST_RECORDS, None
    while marker is None:
        begin = max(extent.begin, extent.end - records)
        for chunk in topics.chunks(changelog, partition, Extent(begin, extent.end)):
            marker = _newest(chunk) or marker
        if begin == extent.begin:
            break
        records *= 16
    return [] if marker is None else [one for one in marker.aligned or [] if not one.silent]


def _newest(chunk: RecordChunk) -> Marker | None:
    for i in reversed(np.flatnonzero(chunk.key.size == len(MARKER_KEY)).tolist()):
        if chunk.key[i] == MARKER_KEY:
            return msgspec.json.decode(chunk.value[i] or b"", type=Marker)
    return None
