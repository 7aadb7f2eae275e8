"""An archive and the topics that it is made of, in memory; crashes, and what is read back."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from aiokafka.structs import TopicPartition

from models.store import Store
from stream.columns import RecordChunk, Spans
from trainer.archive import archiver as archiver_module
from trainer.archive.archiver import Archiver, Limits, Summary
from trainer.archive.folder import Archive
from trainer.archive.layout import FACTS, FileName
from trainer.archive.reader import ParquetSource
from trainer.history.topics import Extent, Removed

DAY_MS = 86_400_000
START_MS = 1_700_000_000_000  # 2023-11-14, 22:13
KEYS = [None, b"", b"ann", b"bob", b"cyd", b"dee", b"k\0\xff"]
ROOT = Path(__file__).resolve().parents[3]
Record = tuple[int, int, bytes | None, bytes | None]
"""Offset, timestamp, key, value."""


def chunk_of(
    records: Sequence[Record], next_offset: int, topic: str = "t", partition: int = 0
) -> RecordChunk:
    return RecordChunk(
        topic=topic,
        partition=partition,
        offset=np.array([record[0] for record in records], np.int64),
        timestamp_ms=np.array([record[1] for record in records], np.int64),
        key=Spans.of([record[2] for record in records]),
        value=Spans.of([record[3] for record in records]),
        next_offset=next_offset,
    )


def records_of(chunks: Iterable[RecordChunk]) -> dict[tuple[str, int], list[Record]]:
    """The records of each partition, as they came."""
    found: dict[tuple[str, int], list[Record]] = defaultdict(list)
    for chunk in chunks:
        found[chunk.topic, chunk.partition] += [
            (int(chunk.offset[i]), int(chunk.timestamp_ms[i]), chunk.key[i], chunk.value[i])
            for i in range(len(chunk))
        ]
    return dict(found)


def read(root: Path | str, **how: Any) -> dict[tuple[str, int], list[Record]]:
    """All that is in an archive."""
    return records_of(ParquetSource(root, **how).chunks(Archive.open(root).topics()))


@dataclass
class Topic:
    """A topic partition in memory, with what the broker knows of it."""

    records: list[Record]
    begin: int = 0
    end: int = 0

    def __post_init__(self) -> None:
        self.end = self.end or max((record[0] + 1 for record in self.records), default=0)


@dataclass
class Kafka:
    """Stands for `TopicReader`: topics in memory, some chunks of at most `step` records a poll."""

    topics: dict[tuple[str, int], Topic]
    step: int = 7
    chunks: int = 1
    position: dict[TopicPartition, int] = field(default_factory=dict)

    async def open(self) -> None: ...
    async def close(self) -> None: ...

    def known(self, topics: Sequence[str]) -> set[TopicPartition]:
        return {TopicPartition(*at) for at in self.topics if at[0] in topics}

    async def partitions(self, topics: Sequence[str]) -> list[TopicPartition]:
        return sorted(self.known(topics))

    async def extents(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Extent]:
        return {tp: Extent(self.topics[tp].begin, self.topics[tp].end) for tp in partitions}

    def assign(self, positions: dict[TopicPartition, int]) -> None:
        self.position = dict(positions)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.position[tp] = offset

    def pause(self, tp: TopicPartition) -> None:
        del self.position[tp]

    async def poll(self) -> list[RecordChunk]:
        await asyncio.sleep(0)
        return [
            chunk for tp in self.position for _ in range(self.chunks) for chunk in self._next(tp)
        ]

    def _next(self, tp: TopicPartition) -> list[RecordChunk]:
        topic, position = self.topics[tp], self.position[tp]
        if not topic.begin <= position <= topic.end:
            raise Removed(tp, position)
        found = [record for record in topic.records if record[0] >= position]
        here, rest = found[: self.step], found[self.step :]
        self.position[tp] = here[-1][0] + 1 if rest else topic.end
        is_new = self.position[tp] > position
        return [chunk_of(here, self.position[tp], *tp)] if is_new else []


def archive_to(
    root: Path | str, kafka: Kafka, flush_records: int = 10, buckets: int = 3
) -> Summary:
    """Archives topics in memory to their end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archiver_module, "TopicReader", lambda *_: kafka)
        archive = Archive.open_or_create(root, buckets)
        topics = sorted({topic for topic, _ in kafka.topics})
        limits = Limits(flush_records, age_s=600.0, size_bytes=1 << 30)
        archiver = Archiver(archive, "memory", topics, limits, follow=False)
        return asyncio.run(archiver.run(asyncio.Event()))


def made(count: int, first: int = 0, step: int = 1, spread_ms: int = 3_600_000) -> list[Record]:
    """Records with every kind of key, and values that are null, empty and otherwise unlike."""
    values = [b"%d" % (i * 7919) * (i % 5) if i % 4 else None for i in range(count)]
    return [
        (first + i * step, START_MS + i * spread_ms, KEYS[i % len(KEYS)], value)
        for i, value in enumerate(values)
    ]


class Killed(Exception):
    """The process has died."""


class Death:
    """Kills at the k-th change of the store; after it nothing is changed any more.

    Before the change, after it, or within: then a temporary file is left.
    """

    def __init__(self, patch: pytest.MonkeyPatch, k: int, moment: str) -> None:
        self._left = k
        self._moment = moment
        self._lock = threading.Lock()  # files are written by several threads
        write, remove = Store.write, Store.remove
        patch.setattr(Store, "write", lambda *args: self._at(write, *args))
        patch.setattr(Store, "remove", lambda *args: self._at(remove, *args))

    def _at(self, change: Callable[..., None], store: Store, name: str, *data: bytes) -> None:
        with self._lock:
            self._left -= 1
            left = self._left
        if left > 0 or (left == 0 and self._moment == "after"):
            change(store, name, *data)
        if left == 0 and self._moment == "within" and data:
            path = Path(store.root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_name(f".{path.name}.{'0' * 32}").write_bytes(data[0][:9])
        if left <= 0:
            raise Killed


def read_all(root: Path) -> dict[tuple[str, int], list[Record]]:
    """Everything that an archive holds; nothing when it was not even begun."""
    if not (root / "archive.json").exists():
        return {}
    return read(root)


def names_of(root: Path, topic: str) -> list[FileName]:
    paths = [str(path.relative_to(root / topic)) for path in (root / topic).rglob("*.parquet")]
    return [name for name in map(FileName.parse, paths) if name is not None]


def archive_forty(root: Path) -> tuple[Path, list[Record]]:
    """An archive of four flushes of ten records each, an hour apart, and the records."""
    records = made(40)
    archive_to(root, Kafka({("t", 0): Topic(records)}, step=10))
    return root, records


def flushes_of(root: Path) -> list[list[Path]]:
    """The files of each flush."""
    chain = Archive.open(root).topic("t").survey().flushes[0]
    return [[root / "t" / name.path for name in flush.files] for flush in chain]


def relative(root: Path, file: Path) -> str:
    return str(file.relative_to(root / "t"))


def lost_in(root: Path) -> list[list[list[int]]]:
    """What each flush says was lost."""
    metadata = [pq.read_schema(flush[0]).metadata[FACTS] for flush in flushes_of(root)]
    return [json.loads(facts)["lost"] for facts in metadata]
