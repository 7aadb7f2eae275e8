"""Dead letters: records that are no events, kept as they came, with the reason.

Rules of this file
1. Key and value are the original bytes, null where they were null: the topic can be replayed.
2. What is said about them stands in headers, as UTF-8 text.
3. A record that is larger than the topic takes is cut, and its headers say so: it stops nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stream.columns import Int64s, RecordChunk, Reject, Spans
from stream.kafka.records import RecordBatch, build_batches

HEADERS = ("reason", "code", "topic", "partition", "offset", "timestamp")
"""Headers of a dead letter; topic, partition, offset and timestamp (epoch ms) are the record's."""
TRUNCATED_HEADERS = ("truncated", "key_bytes", "value_bytes")
"""Further headers of a letter that was cut: "true", and how long key and value were, -1 for null."""

# Frame of a batch, lengths within the record, and what the further headers take.
_FRAME_BYTES = 256
_HEADER_LENGTHS_BYTES = 10


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """n records for the dead-letter topic.

    Attributes:
        key: The original keys, in the buffer of the chunk.
        value: The original values, in the buffer of the chunk.
        headers: Name and value of the headers of each record.
    """

    key: Spans
    value: Spans
    headers: list[list[tuple[str, bytes]]]

    def __len__(self) -> int:
        return len(self.headers)


def encode(rejects: Sequence[Reject], chunk: RecordChunk) -> DeadLetters:
    """Makes the dead letters of the rejected records of a chunk, in the order of `rejects`."""
    record = np.array([reject.record for reject in rejects], np.int64)
    headers = []
    for reject in rejects:
        values = (
            reject.reason,
            reject.code,
            chunk.topic,
            chunk.partition,
            chunk.offset[reject.record],
            chunk.timestamp_ms[reject.record],
        )
        headers.append([(k, str(v).encode()) for k, v in zip(HEADERS, values, strict=True)])
    return DeadLetters(chunk.key.take(record), chunk.value.take(record), headers)


def fit(letters: DeadLetters, bytes_max: int) -> list[DeadLetters]:
    """Cuts what a topic would refuse: the value, and the key where it alone is too large.

    Args:
        letters: Whole letters.
        bytes_max: Largest record batch that the topic takes.

    Returns:
        The letters in their order, in runs of whole and of cut ones: these have more headers.
    """
    said = [sum(len(k) + len(v) + _HEADER_LENGTHS_BYTES for k, v in own) for own in letters.headers]
    room = np.maximum(bytes_max - _FRAME_BYTES - np.array(said, np.int64), 0)
    is_cut = np.maximum(letters.key.size, 0) + np.maximum(letters.value.size, 0) > room
    runs = np.split(np.arange(len(letters)), np.flatnonzero(np.diff(is_cut)) + 1)
    return [_run(letters, run, room[run] if is_cut[run[0]] else None) for run in runs if len(run)]


def _run(letters: DeadLetters, run: Int64s, room: Int64s | None) -> DeadLetters:
    """Some of the letters, cut when there is a limit to the bytes of key and value together."""
    key, value = letters.key.take(run), letters.value.take(run)
    headers = [letters.headers[i] for i in run]
    if room is None:
        return DeadLetters(key, value, headers)
    for own, *sizes in zip(headers, key.size, value.size, strict=True):
        values = (b"true", *(str(size).encode() for size in sizes))
        own.extend(zip(TRUNCATED_HEADERS, values, strict=True))
    kept = np.minimum(key.size, room)
    left = room - np.maximum(kept, 0)
    cut = Spans(value.data, value.start, np.minimum(value.size, left))
    return DeadLetters(Spans(key.data, key.start, kept), cut, headers)


def build(
    rejects: Sequence[Reject], chunk: RecordChunk, now_ms: int, bytes_max: int, batch_bytes: int
) -> list[RecordBatch]:
    """The batches of the letters about records of a chunk.

    Args:
        rejects: The records.
        chunk: Where they stand.
        now_ms: Timestamp of the letters, epoch milliseconds.
        bytes_max: Largest record batch that the topic takes.
        batch_bytes: Batches are not made larger than that, either.
    """
    batches: list[RecordBatch] = []
    if not rejects:
        return batches
    for run in fit(encode(rejects, chunk), bytes_max):
        batches += build_batches(
            run.key, run.value, now_ms,
            own_headers=run.headers, batch_bytes_max=min(batch_bytes, bytes_max),
        )  # fmt: skip
    return batches
