"""The archive as the source of a history.

Rules of this file
1. A flush is in memory at a time, and the next one while it is taken in.
2. Each offset comes once, also where two have archived it.
3. What is missing is said: an archive may begin late, have lost records or have been erased in part,
   and how far the topic goes beyond it nobody knows.
4. What is in the archive when reading begins is read; an archiver may go on meanwhile.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from stream.columns import RecordChunk
from stream.kafka.skip_list import Ranges, ReadRules, merged, within, without_skipped
from trainer.archive.columns import merge
from trainer.archive.folder import Archive, TopicFolder
from trainer.archive.layout import Facts, FileName, Flush, day_of
from trainer.errors import TrainingError
from trainer.history.gaps import ERASED, LOST, NOT_ARCHIVED, SKIPPED, Gap, Older, edges
from trainer.history.source import EVERYTHING, Bounds, OnRecords, expect_held

CHUNK_RECORDS = 4096
"""Records of a chunk: as many as the worker takes at a time."""

_READERS_MAX = 16
_NO_RULES = ReadRules()
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class _Piece:
    """The offsets [start, end) of a flush, in those of its files that are wanted."""

    flush: Flush
    start: int
    end: int
    files: tuple[FileName, ...]


_Read = list[tuple[pa.Table, Facts]]
"""What the files of a piece hold."""


@dataclass(eq=False)
class ParquetSource:
    """The history that an archive holds now.

    Attributes:
        root: Folder of the archive, a local path or an fsspec URL.
        bounds: Which part is read.
        ahead_max_ms: `events.timestamp_ahead_max`: how much later than the timestamp of its record
            an event may be.
        history_ms: `training.history`: how far before the end of the newest day reading begins when
            the bounds do not say where; None for all.
        tells_gaps: Whether chunks of the type `Gap` say what is missing; else there are records alone.
        rules: The skip list, which the archive may be older than: it may hold what the list names.
        headers: Paths of the record headers that are wanted: records that were archived without their
            headers stop reading.

    Raises:
        TrainingError: There is no archive.
    """

    root: str | Path
    bounds: Bounds = EVERYTHING
    ahead_max_ms: int = 0
    history_ms: int | None = None
    tells_gaps: bool = False
    rules: ReadRules = _NO_RULES
    headers: Sequence[str] = ()

    def __post_init__(self) -> None:
        self._archive = Archive.open(self.root)

    def chunks(
        self, topics: Sequence[str], on_records: OnRecords | None = None
    ) -> Iterator[RecordChunk]:
        """See `trainer.history.source.Source.chunks`: topic by topic, and partition by partition."""
        for chunk in self._chunks(topics, on_records):
            if self.tells_gaps or not isinstance(chunk, Gap):
                yield chunk

    def _chunks(self, topics: Sequence[str], on_records: OnRecords | None) -> Iterator[RecordChunk]:
        self.bounds.expect_topics(topics)
        missing = sorted(set(topics) - set(self._archive.topics()))
        if missing:
            raise TrainingError(
                f"expected the topics {list(topics)} in {self._archive.url}, missing: {missing}. "
                "Archive them with `opportune archive`, or name another folder"
            )
        folders = [self._archive.topic(topic) for topic in topics]
        chains = [folder.survey().flushes for folder in folders]
        older = self._older(chains)
        partitions = {partition for chain in chains for partition in chain}
        pieces = []
        for folder, flushes in zip(folders, chains, strict=True):
            for partition in sorted(partitions - flushes.keys()):
                yield Gap.of(folder.topic, partition, 0, None, NOT_ARCHIVED)
            for partition, wanted in self._wanted(folder.topic, flushes).items():
                yield from self._edges(folder.topic, flushes[partition], wanted, older)
                if wanted is not None:
                    pieces += [
                        (folder, piece) for piece in self._pieces(flushes[partition], wanted, older)
                    ]
        total = sum(piece.end - piece.start for _, piece in pieces)
        done = 0
        for folder, piece, read in self._read_ahead(pieces):
            if self.headers:
                self._expect_headers(folder, piece, read)
            ranges = self.rules.ranges(folder.topic, piece.flush.partition)
            for chunk in _chunks(folder.topic, piece, read, ranges):
                yield chunk if isinstance(chunk, Gap) else without_skipped(chunk, ranges)
            done += piece.end - piece.start
            if on_records is not None:
                on_records(done, total)

    def _expect_headers(self, folder: TopicFolder, piece: _Piece, read: _Read) -> None:
        for name, (table, facts) in zip(piece.files, read, strict=True):
            for first, until in within(facts.headerless or (), piece.start, piece.end):
                low, high = np.searchsorted(table["offset"].to_numpy(), (first, until)).tolist()
                if low < high:
                    raise TrainingError(
                        f"expected record headers, since the campaign file names {self.headers[0]}, got "
                        f"records from offset {first} to {until} without them in {folder.where(name)}: "
                        "they were archived by a version that kept none. Read them from Kafka, or "
                        "later ones alone (--since, --offsets)"
                    )

    def _older(self, chains: Sequence[Mapping[int, Sequence[Flush]]]) -> Older | None:
        days = {
            name.day
            for flushes in chains
            for chain in flushes.values()
            for flush in chain
            for name in flush.files
        }
        today_ms = int(time.time() * 1000)  # a record from the future does not make others old
        newest_ms = min(_end_ms(max(days)), today_ms) if days else 0
        return self.bounds.older(self.ahead_max_ms, self.history_ms, newest_ms)

    def _wanted(
        self, topic: str, flushes: Mapping[int, Sequence[Flush]]
    ) -> dict[int, tuple[int, int] | None]:
        """The offsets [start, end) of each partition; None for one that the bounds leave out."""
        held = {partition: _held(chain) for partition, chain in sorted(flushes.items())}
        bounds = self.bounds.of(topic)
        if bounds is None:
            return dict(held)
        named = {
            partition: expect_held(topic, partition, wanted, held)
            for partition, wanted in bounds.items()
        }
        return dict.fromkeys(held) | named

    def _edges(
        self,
        topic: str,
        chain: Sequence[Flush],
        wanted: tuple[int, int] | None,
        older: Older | None,
    ) -> Iterator[Gap]:
        """What is missing around a partition."""
        files = (name for flush in chain for name in flush.files)
        cut = older if any(_is_older(name, older) for name in files) else None
        partition, held = chain[0].partition, _held(chain)
        yield from edges(topic, partition, held, wanted, cut, NOT_ARCHIVED)
        if wanted is not None and wanted[1] == held[1]:
            yield Gap.of(topic, partition, held[1], None, NOT_ARCHIVED)

    def _pieces(
        self, chain: Sequence[Flush], wanted: tuple[int, int], older: Older | None
    ) -> Iterator[_Piece]:
        """What is wanted of a partition, in the order of offsets."""
        position, end = wanted
        for flush in chain:
            start, stop = max(flush.first, position), min(flush.next, end)
            if start < stop:
                files = tuple(name for name in flush.files if not _is_older(name, older))
                yield _Piece(flush, start, stop, files)
                position = stop

    def _read_ahead(
        self, pieces: Sequence[tuple[TopicFolder, _Piece]]
    ) -> Iterator[tuple[TopicFolder, _Piece, _Read]]:
        """The files of each piece; those of the next one are being read meanwhile."""
        pool = ThreadPoolExecutor(min(os.cpu_count() or 1, _READERS_MAX))
        ahead: deque[tuple[TopicFolder, _Piece, list[Future[tuple[pa.Table, Facts]]]]] = deque()
        try:
            for folder, piece in pieces:
                files = [pool.submit(folder.decoded, name) for name in piece.files]
                ahead.append((folder, piece, files))
                if len(ahead) > 1:
                    yield _ready(*ahead.popleft())
            while ahead:
                yield _ready(*ahead.popleft())
        finally:
            pool.shutdown(cancel_futures=True)


def _held(chain: Sequence[Flush]) -> tuple[int, int]:
    """Offsets [begin, end) of flushes that follow each other."""
    return chain[0].first, max(flush.next for flush in chain)


def _is_older(name: FileName, older: Older | None) -> bool:
    # A record without timestamp stands in the day before 1970; its event may be of any time.
    return older is not None and day_of(0) <= name.day < day_of(older.earliest_ms)


def _end_ms(day: str) -> int:
    return (date.fromisoformat(day).toordinal() + 1 - date(1970, 1, 1).toordinal()) * _DAY_MS


def _ready(
    folder: TopicFolder, piece: _Piece, files: list[Future[tuple[pa.Table, Facts]]]
) -> tuple[TopicFolder, _Piece, _Read]:
    return folder, piece, [file.result() for file in files]


def _chunks(topic: str, piece: _Piece, read: _Read, ranges: Ranges) -> Iterator[RecordChunk]:
    """The records of a piece and its gaps; its last records go to its end, whatever stands there."""
    gaps = _gaps(topic, piece, read, ranges)
    cuts = sorted({piece.start, *(gap.until or 0 for gap in gaps), piece.end})
    last: RecordChunk | None = None
    for records in merge([table for table, _ in read], CHUNK_RECORDS):
        bounds = np.searchsorted(records.offset, cuts)
        for part in (slice(*pair) for pair in pairwise(bounds) if pair[0] < pair[1]):
            offset = records.offset[part]
            if last is not None:
                yield last
            while gaps and int(offset[0]) > gaps[0].next_offset:
                yield gaps.pop(0)
            last = RecordChunk(
                topic=topic,
                partition=piece.flush.partition,
                offset=offset,
                timestamp_ms=records.timestamp_ms[part],
                key=records.key.take(part),
                value=records.value.take(part),
                next_offset=int(offset[-1]) + 1,
                headers=None if records.headers is None else records.headers.take(part),
            )
    if last is not None:
        yield replace(last, next_offset=piece.end)
    yield from gaps


def _gaps(topic: str, piece: _Piece, read: _Read, ranges: Ranges) -> list[Gap]:
    """What is missing in a piece, in the order of offsets."""
    lost = {one for _, facts in read for one in facts.lost}
    found = {(*part, LOST) for part in within(lost, piece.start, piece.end)}
    skipped = merged([*ranges, *(one for _, facts in read for one in facts.skipped or ())])
    found |= {(*part, SKIPPED) for part in within(skipped, piece.start, piece.end)}
    first_day = min((facts.day for _, facts in read), default="")
    # Whoever erases days empties all files of the first ones; one customer's are seldom all.
    if read and all(table.num_rows == 0 for table, facts in read if facts.day == first_day):
        firsts = [int(table["offset"][0].as_py()) for table, _ in read if table.num_rows]
        until = min((offset for offset in firsts if offset >= piece.start), default=piece.end)
        if until > piece.start:
            found.add((piece.start, min(until, piece.end), ERASED))
    return [
        Gap.of(topic, piece.flush.partition, start, until, why)
        for start, until, why in sorted(found)
    ]
