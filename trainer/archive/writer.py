"""What was read of one partition, until it is in the archive.

Rules of this file
1. The last file of a flush is written when the others are durable: a crash leaves whole flushes and
   files that do not count.
2. Every offset from the first to the next is covered, also those that hold no record.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import msgspec

from stream.columns import RecordChunk
from stream.kafka.skip_list import Ranges, within
from trainer.archive.columns import Group, group
from trainer.archive.files import encode
from trainer.archive.folder import TopicFolder
from trainer.archive.layout import Facts, FileName

_WRITERS = 4
"""Files written at once: compression takes the cores that there are, waiting for storage none."""

_COLUMNS_BYTES = 6 * 8
"""Of each record beside key and value: offset, timestamp and the two spans."""
_SPAN_BYTES = 2 * 8


@dataclass(slots=True)
class Pending:
    """The offsets [first, next) of a partition, with their records.

    Attributes:
        partition: Partition of the topic.
        first: First offset that is not in the archive.
        next: Offset after the last one that is here.
        since_s: When the first record came, on the clock of whoever adds them.
        chunks: The records.
        records: How many there are.
        size_bytes: Bytes of them.
        lost: Offsets [from, to) that retention removed before they were read.
        ranges: What of the partition is never read (`topics.skip`).
    """

    partition: int
    first: int
    next: int
    since_s: float = 0.0
    chunks: list[RecordChunk] = field(default_factory=list)
    records: int = 0
    size_bytes: int = 0
    lost: list[tuple[int, int]] = field(default_factory=list)
    ranges: Ranges = ()

    def add(self, chunk: RecordChunk, now_s: float) -> None:
        """Takes the chunk that follows."""
        assert len(chunk) == 0 or chunk.offset[0] >= self.next, "in the order of offsets"
        self.next = chunk.next_offset
        if len(chunk) == 0:
            return
        if not self.chunks:
            self.since_s = now_s
        self.chunks.append(chunk)
        self.records += len(chunk)
        # Of nulls one less, which is nothing against the rest.
        self.size_bytes += int(chunk.key.size.sum()) + int(chunk.value.size.sum())
        self.size_bytes += _COLUMNS_BYTES * len(chunk)
        if chunk.headers is not None:
            self.size_bytes += int(chunk.headers.size.sum()) + _SPAN_BYTES * len(chunk)

    def lose(self, until: int) -> None:
        """Retention has removed the offsets before `until`."""
        self.lost.append((self.next, until))
        self.next = until

    def clear(self) -> None:
        """Everything is in the archive."""
        self.first = self.next
        self.chunks, self.lost = [], []
        self.records = self.size_bytes = 0


@dataclass(frozen=True, slots=True)
class Flushed:
    """What a flush has written.

    Attributes:
        first: First offset.
        next: Offset after the last.
        records: Number of records.
        files: Number of files.
        size_bytes: Their bytes.
    """

    first: int
    next: int
    records: int
    files: int
    size_bytes: int


def flush(pending: Pending, folder: TopicFolder) -> Flushed:
    """Writes what is pending, at least one record, as one flush; changes nothing in `pending`.

    Raises:
        TrainingError: It cannot be written; there is no new flush.
    """
    groups = group(pending.chunks, folder.buckets)
    names = [
        FileName(
            part.day, part.bucket, pending.partition, pending.first, pending.next, k, len(groups)
        )
        for k, part in enumerate(groups, 1)
    ]
    folder.prepare(sorted({name.day for name in names}))
    skipped = tuple(within(pending.ranges, pending.first, pending.next))
    lost = tuple(pending.lost)

    def write(name: FileName, part: Group) -> int:
        facts = msgspec.structs.replace(
            Facts.of(folder.topic, name, folder.buckets),
            rows=part.table.num_rows,
            lost=lost,
            skipped=skipped or msgspec.UNSET,
        )
        data = encode(part.table, facts)
        folder.write(name, data)
        return len(data)

    with ThreadPoolExecutor(_WRITERS) as pool:
        size_bytes = sum(pool.map(write, names[:-1], groups[:-1]))
    size_bytes += write(names[-1], groups[-1])
    return Flushed(pending.first, pending.next, pending.records, len(names), size_bytes)
