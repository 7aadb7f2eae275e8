"""What others wrote to the changelog of a partition that this worker owns, and the answer to it.

Two may: a worker that does not know yet that it has lost the partition, and somebody who erases a
customer. Compaction keeps the newest record of a customer, whoever wrote it. So the owner looks at each
of them, and writes again what must not be lost, or must not come back.

| record of another | what is known of its customer | answer |
| --- | --- | --- |
| tombstone | a row | the row is erased, and a tombstone written after whatever was written since |
| row | the same row | none |
| row | another row | the own row is written again |
| row | nothing, though all of its events were taken | erased before: a tombstone is written again |
| row | nothing | none: its events are still to come |

Pure: no Kafka, no clock.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from stream.columns import RecordChunk
from stream.state.changelog import ROW_VERSION
from stream.state.marker import MARKER_KEY
from stream.worker.partition.block import Block


class Heard(NamedTuple):
    """What is to be written again: rows, and tombstones."""

    rows: int = 0
    tombstones: int = 0


def heed(
    block: Block,
    chunk: RecordChunk,
    topics: Sequence[str],
    offset_words: slice,
    mine: Collection[bytes],
) -> Heard:
    """Answers a chunk of the changelog in which records of others stand among the own ones.

    Args:
        block: The partition. Changed.
        chunk: Records of the changelog.
        topics: The event topics, in the order of `offset_words`.
        offset_words: The words of a row that hold the next offset of each event topic.
        mine: Customers whose tombstones in this chunk are the worker's own.
    """
    table, rows, tombstones = block.table, 0, 0
    taken = block.taken(topics)
    for i in range(len(chunk)):
        key, value = chunk.key[i] or b"", chunk.value[i]
        if key == MARKER_KEY or (value is None and key in mine):
            continue
        row = table.find(key)
        if value is None:
            gone = row >= 0
            if gone:
                table.erase(np.array([row]))
                if block.contacts is not None:
                    block.contacts.table.erase(np.array([row]))
        elif row >= 0:
            gone = False
            if value != bytes([ROW_VERSION]) + table.state[row].tobytes():
                table.mark_dirty(np.array([row]))
                rows += 1
        else:
            words = np.frombuffer(value, np.int64, offset=1)
            gone = bool((words[offset_words] <= taken).all())
        if gone:
            block.erased.add(key)
            tombstones += 1
    return Heard(rows, tombstones)
