"""A chunk cut so that no part of it unfolds to more events than memory has room for.

No record holds more events than it has commas, and one: so the events need not be found to be bounded.
Records are not cut, and where a chunk is changes no bit of what comes of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from stream.columns import Int64s, RecordChunk, Spans, part
from stream.events.batches.element_kernels import count_commas

PIECE_EVENTS_MAX = 65_536
"""What the events of a part are bounded by; usual ones have ten commas each, and are a tenth of that."""


def events_bound(value: Spans, most: int) -> Int64s:
    """How many events each record holds at most.

    Args:
        value: The n records.
        most: How many one may hold.

    Returns:
        Shape (n,), int64.
    """
    commas = np.empty(len(value), np.int64)
    count_commas(value.data, value.start, value.size, commas)
    bound: Int64s = np.minimum(commas + 1, most)
    return bound


def pieces(chunk: RecordChunk, most: int) -> Iterator[RecordChunk]:
    """The parts of a chunk in their order, at least one; `most` as for `events_bound`."""
    reached = np.cumsum(events_bound(chunk.value, most))
    if len(chunk) < 2 or reached[-1] <= PIECE_EVENTS_MAX:
        yield chunk
        return
    begin = 0
    while begin < len(chunk):
        before = int(reached[begin - 1]) if begin else 0
        end = int(np.searchsorted(reached, before + PIECE_EVENTS_MAX, side="right"))
        end = max(end, begin + 1)
        next_offset = int(chunk.offset[end]) if end < len(chunk) else chunk.next_offset
        piece = part(chunk, slice(begin, end), next_offset)
        yield replace(piece, value=_narrowed(piece.value))
        begin = end


def _narrowed(value: Spans) -> Spans:
    """The same pieces in no more of their buffer than they take: a scan may have to copy it."""
    there = value.size >= 0
    if not there.any():
        return value
    first = int(value.start[there].min())
    end = int((value.start + value.size)[there].max())
    return Spans(value.data[first:end], np.where(there, value.start - first, 0), value.size)
