"""The archive as the source of a history.

Rules of this file
1. A flush is in memory at a time, and the next one while it is taken in.
2. Each offset comes once, also where two have archived it.
3. What is in the archive when reading begins is read; an archiver may go on meanwhile.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from stream.columns import RecordChunk
from trainer.archive.columns import merge
from trainer.archive.files import decode
from trainer.archive.folder import Archive, TopicFolder
from trainer.archive.layout import Facts, FileName, Flush, day_of
from trainer.errors import TrainingError
from trainer.history import EVERYTHING, Bounds, OnRecords, expect_held

CHUNK_RECORDS = 4096
"""Records of a chunk: as many as the worker takes at a time."""

_READERS_MAX = 16


@dataclass(frozen=True, slots=True)
class _Piece:
    """The offsets [start, end) of a flush, in those of its files that are wanted."""

    flush: Flush
    start: int
    end: int
    files: tuple[FileName, ...]


class ParquetSource:
    """The history that an archive holds now.

    Args:
        root: Folder of the archive, a local path or an fsspec URL.
        bounds: Which part is read.
        ahead_max_ms: `events.timestamp_ahead_max`: how much later than the timestamp of its record
            an event may be.
        buckets: Only the customers in these buckets (`layout.bucket_of`), None for all.

    Attributes:
        bucket_count: How many buckets the archive has.

    Raises:
        TrainingError: There is no archive, or it has no such bucket.
    """

    def __init__(
        self,
        root: str | Path,
        bounds: Bounds = EVERYTHING,
        ahead_max_ms: int = 0,
        buckets: Collection[int] | None = None,
    ) -> None:
        self._archive = Archive.open(root)
        self.bucket_count = self._archive.buckets
        wrong = sorted(set(buckets or ()) - set(range(self.bucket_count)))
        if wrong:
            raise TrainingError(
                f"expected buckets from 0 to {self.bucket_count - 1} of {root}, got {wrong}"
            )
        self._bounds = bounds
        self._buckets = buckets
        earliest_ms = bounds.earliest_ms(ahead_max_ms)
        # A record without timestamp stands in the day before 1970; its event may be of any time.
        self._skipped = None if earliest_ms is None else (day_of(0), day_of(earliest_ms))

    def chunks(
        self, topics: Sequence[str], on_records: OnRecords | None = None
    ) -> Iterator[RecordChunk]:
        """See `trainer.history.Source.chunks`: topic by topic, and partition by partition."""
        missing = sorted(set(topics) - set(self._archive.topics()))
        if missing:
            raise TrainingError(
                f"expected the topics {list(topics)} in {self._archive.url}, missing: {missing}. "
                "Archive them with `opportune archive`, or name another folder"
            )
        folders = [self._archive.topic(topic) for topic in topics]
        pieces = [(folder, piece) for folder in folders for piece in self._pieces(folder)]
        total = sum(piece.end - piece.start for _, piece in pieces)
        done = 0
        for folder, piece, tables in self._read_ahead(pieces):
            yield from _chunks(folder, piece, tables)
            done += piece.end - piece.start
            if on_records is not None:
                on_records(done, total)

    def _pieces(self, folder: TopicFolder) -> Iterator[_Piece]:
        """What is wanted of a topic, in the order of partitions and offsets."""
        flushes = folder.survey().flushes
        held = {
            partition: (chain[0].first, max(flush.next for flush in chain))
            for partition, chain in sorted(flushes.items())
        }
        bounds = self._bounds.of(folder.topic)
        for partition, wanted in (held if bounds is None else bounds).items():
            position, end = expect_held(folder.topic, partition, wanted, held)
            for flush in flushes[partition]:
                start, stop = max(flush.first, position), min(flush.next, end)
                if start < stop:
                    yield _Piece(flush, start, stop, tuple(filter(self._is_wanted, flush.files)))
                    position = stop

    def _is_wanted(self, name: FileName) -> bool:
        if self._buckets is not None and name.bucket not in self._buckets:
            return False
        return self._skipped is None or not self._skipped[0] <= name.day < self._skipped[1]

    def _read_ahead(
        self, pieces: Sequence[tuple[TopicFolder, _Piece]]
    ) -> Iterator[tuple[TopicFolder, _Piece, list[pa.Table]]]:
        """The tables of each piece; those of the next one are being read meanwhile."""
        pool = ThreadPoolExecutor(min(os.cpu_count() or 1, _READERS_MAX))
        ahead: deque[tuple[TopicFolder, _Piece, list[Future[pa.Table]]]] = deque()
        try:
            for folder, piece in pieces:
                tables = [pool.submit(self._table, folder, name) for name in piece.files]
                ahead.append((folder, piece, tables))
                if len(ahead) > 1:
                    yield _ready(*ahead.popleft())
            while ahead:
                yield _ready(*ahead.popleft())
        finally:
            pool.shutdown(cancel_futures=True)

    def _table(self, folder: TopicFolder, name: FileName) -> pa.Table:
        expected = Facts.of(folder.topic, name, self.bucket_count)
        return decode(folder.read(name), expected, folder.where(name))[0]


def _ready(
    folder: TopicFolder, piece: _Piece, tables: list[Future[pa.Table]]
) -> tuple[TopicFolder, _Piece, list[pa.Table]]:
    return folder, piece, [table.result() for table in tables]


def _chunks(folder: TopicFolder, piece: _Piece, tables: list[pa.Table]) -> Iterator[RecordChunk]:
    """The records of a piece; its last chunk goes to its end, whatever stands there."""
    last: RecordChunk | None = None
    for records in merge(tables, CHUNK_RECORDS):
        part = slice(*np.searchsorted(records.offset, (piece.start, piece.end)))
        offset = records.offset[part]
        if len(offset) == 0:
            continue
        if last is not None:
            yield last
        last = RecordChunk(
            topic=folder.topic,
            partition=piece.flush.partition,
            offset=offset,
            timestamp_ms=records.timestamp_ms[part],
            key=records.key.take(part),
            value=records.value.take(part),
            next_offset=int(offset[-1]) + 1,
        )
    if last is not None:
        yield replace(last, next_offset=piece.end)
