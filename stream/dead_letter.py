"""Dead letters: records that are no events, kept as they came, with the reason.

Rules of this file
1. Key and value are the original bytes, null where they were null: the topic can be replayed.
2. What is said about them stands in headers, as UTF-8 text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stream.columns import RecordChunk, Reject, Spans

HEADERS = ("reason", "code", "topic", "partition", "offset", "timestamp")
"""Headers of a dead letter; topic, partition, offset and timestamp (epoch ms) are the record's."""


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
