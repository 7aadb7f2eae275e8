"""The archive: every record once and byte for byte, whatever crashes when."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiokafka.structs import TopicPartition
from click.testing import CliRunner
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin import AdminClient, NewPartitions
from hypothesis import given, settings
from hypothesis import strategies as st

from models.store import Store
from stream.columns import RecordChunk, Spans
from tests.conftest import CreateTopics, KafkaCluster
from tests.fault_load import Load
from trainer.archive import archiver as archiver_module
from trainer.archive.archiver import Archiver, Limits, Summary
from trainer.archive.columns import buckets_of
from trainer.archive.command import erase
from trainer.archive.erase import erase_before, erase_customer
from trainer.archive.files import encode
from trainer.archive.folder import Archive
from trainer.archive.layout import FACTS, Facts, FileName, bucket_of, day_of
from trainer.archive.reader import ParquetSource
from trainer.errors import TrainingError
from trainer.history import Bounds
from trainer.topics import Extent, Removed

DAY_MS = 86_400_000
START_MS = 1_700_000_000_000  # 2023-11-14, 22:13
KEYS = [None, b"", b"ann", b"bob", b"cyd", b"dee", b"k\0\xff"]
ROOT = Path(__file__).resolve().parents[1]

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


record = st.tuples(
    st.integers(1, 3),
    st.one_of(
        st.integers(START_MS, START_MS + 3 * DAY_MS),
        st.sampled_from(
            [-1, 0, -DAY_MS - 1, -(2**63), 2**63 - 1, 253402300799999, 253402300800000]
        ),
    ),
    st.one_of(st.sampled_from(KEYS), st.binary(max_size=20)),
    st.one_of(st.none(), st.binary(max_size=60)),
)


@given(
    raw=st.lists(record, min_size=1, max_size=60),
    buckets=st.integers(1, 5),
    cuts=st.tuples(st.integers(1, 9), st.integers(1, 30)),
)
@settings(max_examples=40)
def test_what_goes_in_comes_out(
    tmp_path_factory: pytest.TempPathFactory,
    raw: list[tuple[int, int, bytes | None, bytes | None]],
    buckets: int,
    cuts: tuple[int, int],
) -> None:
    offsets = np.cumsum([gap for gap, *_ in raw]).tolist()
    records: list[Record] = [
        (offset, *rest) for offset, (_, *rest) in zip(offsets, raw, strict=True)
    ]
    root = tmp_path_factory.mktemp("archive")
    archive_to(root, Kafka({("t", 0): Topic(records)}, cuts[0], chunks=2), cuts[1], buckets)
    chunks = list(ParquetSource(root).chunks(["t"]))
    assert records_of(chunks) == {("t", 0): records}
    assert chunks[-1].next_offset == records[-1][0] + 1
    for name in (
        name
        for chain in Archive.open(root).topic("t").survey().flushes.values()
        for f in chain
        for name in f.files
    ):
        table = pq.read_table(root / "t" / name.path, partitioning=None)
        assert {bucket_of(key, buckets) for key in table["key"].to_pylist()} == {name.bucket}
        assert {day_of(time_ms) for time_ms in table["timestamp_ms"].to_pylist()} == {name.day}
    shutil.rmtree(root)


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


@pytest.mark.parametrize("moment", ["before", "within", "after"])
def test_a_crash_at_any_change_costs_nothing(tmp_path: Path, moment: str) -> None:
    source = {("t", 0): made(23, step=2), ("t", 1): made(14, first=5), ("u", 0): made(9)}
    topics = {at: Topic(records) for at, records in source.items()}
    for k in range(1, 100):
        root = tmp_path / str(k)
        survived = True
        # Killed at the k-th change, killed early in what follows, and then left alone.
        for death in (k, 1 + k % 5, 1_000):
            with pytest.MonkeyPatch.context() as patch:
                Death(patch, death, moment)
                try:
                    archive_to(root, Kafka(topics))
                except Killed:
                    survived = False
            for at, records in read_all(root).items():
                assert records == source[at][: len(records)]
        assert read_all(root) == source
        assert all(Archive.open(root).topic(topic).survey().unfinished == [] for topic in "tu")
        assert not [path for path in root.rglob("*") if ".parquet." in path.name]
        if survived:
            break
    assert 15 < k < 99, "every change was the last one once"


def read_all(root: Path) -> dict[tuple[str, int], list[Record]]:
    """Everything that an archive holds; nothing when it was not even begun."""
    if not (root / "archive.json").exists():
        return {}
    return read(root)


def test_names_facts_and_buckets_stay_what_they_are(tmp_path: Path) -> None:
    records: list[Record] = [(7, START_MS, b"ann", b"{}"), (9, START_MS + DAY_MS, None, None)]
    archive_to(tmp_path, Kafka({("events", 3): Topic(records, begin=5)}), buckets=8)
    assert (tmp_path / "archive.json").read_bytes() == b'{"format":1,"buckets":8}'
    first = "date=2023-11-14/bucket=02/3-00000000000000000005-00000000000000000010-1of2.parquet"
    second = "date=2023-11-15/bucket=00/3-00000000000000000005-00000000000000000010-2of2.parquet"
    assert sorted(name.path for name in names_of(tmp_path, "events")) == [first, second]
    file = pq.ParquetFile(tmp_path / "events" / first)
    assert file.schema_arrow.metadata[FACTS] == (
        b'{"format":1,"topic":"events","partition":3,"first_offset":5,"next_offset":10,'
        b'"day":"2023-11-14","bucket":2,"buckets":8,"k":1,"n":2,"rows":1,"lost":[]}'
    )
    assert [(column.name, column.physical_type) for column in file.schema] == [
        ("offset", "INT64"),
        ("timestamp_ms", "INT64"),
        ("key", "BYTE_ARRAY"),
        ("value", "BYTE_ARRAY"),
    ]
    assert file.metadata.row_group(0).column(3).compression == "ZSTD"
    keys = [None, b"", b"a", b"ann", b"customer-1", b"\xff" * 40]
    assert [bucket_of(key, 100) for key in keys] == [0, 0, 29, 46, 9, 86]


@given(keys=st.lists(st.none() | st.binary(max_size=40), min_size=1), buckets=st.integers(1, 100))
def test_both_forms_of_the_bucket_agree(keys: list[bytes | None], buckets: int) -> None:
    assert buckets_of(Spans.of(keys), buckets).tolist() == [bucket_of(k, buckets) for k in keys]


def test_customers_spread_over_buckets_in_every_partition() -> None:
    ids = [b"c%05d" % i for i in range(8_000)]
    for partitions in (zlib.crc32, sum):  # as some producers choose them, and a naive hash
        here = [key for key in ids if partitions(key) % 8 == 3]
        counts = np.bincount([bucket_of(key, 8) for key in here], minlength=8)
        assert counts.min() > 0.7 * counts.mean()
        assert counts.max() < 1.3 * counts.mean()


def names_of(root: Path, topic: str) -> list[FileName]:
    paths = [str(path.relative_to(root / topic)) for path in (root / topic).rglob("*.parquet")]
    return [name for name in map(FileName.parse, paths) if name is not None]


@pytest.fixture
def archived(tmp_path: Path) -> tuple[Path, list[Record]]:
    """An archive of four flushes of ten records each, an hour apart, and the records."""
    records = made(40)
    archive_to(tmp_path / "a", Kafka({("t", 0): Topic(records)}, step=10))
    return tmp_path / "a", records


def flushes_of(root: Path) -> list[list[Path]]:
    """The files of each flush."""
    chain = Archive.open(root).topic("t").survey().flushes[0]
    return [[root / "t" / name.path for name in flush.files] for flush in chain]


def test_bounds_and_buckets_choose_what_is_read(archived: tuple[Path, list[Record]]) -> None:
    root, records = archived
    some = Bounds(offsets={"t": {0: (13, 27)}})
    chunks = list(ParquetSource(root, some).chunks(["t"]))
    assert records_of(chunks)["t", 0] == records[13:27]
    assert chunks[-1].next_offset == 27
    by_bucket = [read(root, buckets=[bucket])["t", 0] for bucket in range(3)]
    assert sorted(itertools.chain(*by_bucket), key=lambda record: record[0]) == records
    for bucket, part in enumerate(by_bucket):
        assert {bucket_of(key, 3) for _, _, key, _ in part} == {bucket}
    assert ParquetSource(root).bucket_count == 3
    progress: list[tuple[int, int]] = []
    list(ParquetSource(root, buckets=[1]).chunks(["t"], lambda *at: progress.append(at)))
    assert progress == [(10, 40), (20, 40), (30, 40), (40, 40)]


def test_days_that_are_too_old_are_not_read(tmp_path: Path) -> None:
    records: list[Record] = [
        (0, START_MS, b"old", b""),
        (1, START_MS + DAY_MS, b"young", b""),
        (2, -1, b"without a timestamp", b""),
        (3, START_MS, b"late", b""),
        (4, START_MS + 2 * DAY_MS, b"younger", b""),
    ]
    archive_to(tmp_path, Kafka({("t", 0): Topic(records)}))
    since_ms = START_MS + 2 * DAY_MS
    assert [r[0] for r in read(tmp_path, bounds=Bounds(since_ms=since_ms))["t", 0]] == [2, 4]
    ahead = read(tmp_path, bounds=Bounds(since_ms=since_ms), ahead_max_ms=DAY_MS)
    assert [r[0] for r in ahead["t", 0]] == [1, 2, 4]


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({0: (0, 41)}, "offsets 0 to 41 of t/0, got 0 to 40"),
        ({1: (0, 1)}, r"partition 1 of t, .* got the partitions \[0\]"),
    ],
)
def test_what_is_not_archived_is_refused(
    archived: tuple[Path, list[Record]], bounds: dict[int, tuple[int, int]], message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        read(archived[0], bounds=Bounds(offsets={"t": bounds}))


def test_an_archive_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=rf"expected an archive in {tmp_path}, got no archive"):
        ParquetSource(tmp_path)
    (tmp_path / "archive.json").write_text('{"format":2,"buckets":8}')
    with pytest.raises(TrainingError, match=r"format 1 in .*, got 2"):
        ParquetSource(tmp_path)
    (tmp_path / "archive.json").write_text("{}")
    with pytest.raises(TrainingError, match=r"archive\.json, Object missing"):
        ParquetSource(tmp_path)
    (tmp_path / "archive.json").write_text('{"format":1,"buckets":8}')
    with pytest.raises(TrainingError, match=r"missing: \['t'\]"):
        list(ParquetSource(tmp_path).chunks(["t"]))
    with pytest.raises(TrainingError, match=r"buckets from 0 to 7 .* got \[8\]"):
        ParquetSource(tmp_path, buckets=[1, 8])


def test_damage_is_found_and_the_file_named(archived: tuple[Path, list[Record]]) -> None:
    root, _ = archived
    file = flushes_of(root)[1][0]
    good = file.read_bytes()
    rng = random.Random(1)
    broken = [good[:n] for n in (0, 3, 100, len(good) // 2, len(good) - 1)]
    for _ in range(60):
        at = rng.randrange(len(good))
        broken.append(good[:at] + bytes([good[at] ^ 1 << rng.randrange(8)]) + good[at + 1 :])
    wanted = read(root)
    found = [error for data in broken if (error := damage(root, file, data, wanted))]
    assert len(found) > len(broken) / 2
    assert all(str(file) in error for error in found)


def damage(root: Path, file: Path, data: bytes, wanted: object) -> str:
    """What is said of a damaged file; nothing when no record is, but a fact that nobody reads."""
    file.write_bytes(data)
    try:
        found = read(root)
    except TrainingError as exc:
        return str(exc)
    assert found == wanted
    return ""


def test_foreign_files_are_refused(archived: tuple[Path, list[Record]]) -> None:
    root, _ = archived
    first, second = flushes_of(root)[:2]
    good = first[0].read_bytes()
    table, name = (
        pq.read_table(first[0], partitioning=None),
        FileName.parse(relative(root, first[0])),
    )
    assert name is not None
    facts = Facts.of("t", name, 3)
    facts = msgspec.structs.replace(facts, rows=table.num_rows)
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(None), sink)
    wrong: list[tuple[bytes, str]] = [
        (second[0].read_bytes(), "expected first_offset 0 in .*, got 10"),
        (sink.getvalue().to_pybytes(), "has written in .*, got one of somebody else"),
        (encode(table, msgspec.structs.replace(facts, topic="u")), "expected topic 't' .* got 'u'"),
        (encode(table, msgspec.structs.replace(facts, buckets=4)), "expected buckets 3 .* got 4"),
        (encode(table, msgspec.structs.replace(facts, format=2)), "expected format 1 .* got 2"),
        (encode(table.slice(1), facts), "expected .* records in .* got"),
        (encode(table.take(list(range(len(table)))[::-1]), facts), "expected offsets rising"),
        (encode(table.select(["offset", "value"]), facts), "expected the columns"),
    ]
    for data, message in wrong:
        first[0].write_bytes(data)
        with pytest.raises(TrainingError, match=message):
            read(root)
    first[0].write_bytes(good)
    (root / "t" / "notes.txt").write_text("not a file of the archive")
    assert len(read(root)["t", 0]) == 40


def relative(root: Path, file: Path) -> str:
    return str(file.relative_to(root / "t"))


def test_files_that_were_removed_by_hand_are_missed(archived: tuple[Path, list[Record]]) -> None:
    root, records = archived
    flushes = flushes_of(root)
    copy = root.with_name("copy")
    for flush, message in (
        (flushes[1][:1], r"expected \d files of the offsets 10 to 20 of t/0 .*opportune erase"),
        (flushes[3][:1], r"expected \d files of the offsets 30 to 40 of t/0"),
        (flushes[1], "expected the offsets 10 to 20 of t/0 in the archive, their files are miss"),
    ):
        shutil.copytree(root, copy)
        for file in flush:
            (copy / "t" / relative(root, file)).unlink()
        with pytest.raises(TrainingError, match=message):
            read(copy)
        with pytest.raises(TrainingError, match=message):
            archive_to(copy, Kafka({("t", 0): Topic(made(50))}))
        shutil.rmtree(copy)
    for file in flushes[0]:  # the oldest may go
        file.unlink()
    assert read(root)["t", 0] == records[10:]


def test_what_two_have_archived_comes_once(archived: tuple[Path, list[Record]]) -> None:
    root, records = archived
    other = root.with_name("other")
    archive_to(other, Kafka({("t", 0): Topic(made(47))}, step=7), flush_records=14)
    for file in (other / "t").rglob("*.parquet"):
        there = root / "t" / file.relative_to(other / "t")
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, there)
    assert read(root)["t", 0] == made(47)
    assert read(root, bounds=Bounds(offsets={"t": {0: (5, 33)}}))["t", 0] == records[5:33]
    archive_to(root, Kafka({("t", 0): Topic(made(60))}))
    assert read(root)["t", 0] == made(60)


def test_only_one_may_archive_a_topic(archived: tuple[Path, list[Record]]) -> None:
    root, _ = archived
    more = Kafka({("t", 0): Topic(made(50))})
    with Archive.open(root).topic("t").lock("archive"):
        with pytest.raises(
            TrainingError, match=f"only one to archive in .* pid {os.getpid()}, sin"
        ):
            archive_to(root, more)
        assert len(read(root)["t", 0]) == 40  # whoever reads need not be alone
    archive_to(root, more)
    assert len(read(root)["t", 0]) == 50


def test_an_archive_keeps_its_buckets(archived: tuple[Path, list[Record]]) -> None:
    root, _ = archived
    archive_to(root, Kafka({("t", 0): Topic(made(50))}), buckets=7)
    assert ParquetSource(root).bucket_count == 3
    assert read(root)["t", 0] == made(50)


def lost_in(root: Path) -> list[list[list[int]]]:
    """What each flush says was lost."""
    metadata = [pq.read_schema(flush[0]).metadata[FACTS] for flush in flushes_of(root)]
    return [json.loads(facts)["lost"] for facts in metadata]


def test_what_retention_removed_is_written_down(
    archived: tuple[Path, list[Record]], caplog: pytest.LogCaptureFixture
) -> None:
    root, records = archived
    later = made(70)
    archive_to(root, Kafka({("t", 0): Topic(later[55:], begin=55)}, step=15))
    assert read(root)["t", 0] == records + later[55:]
    assert lost_in(root) == [[], [], [], [], [[40, 55]]]
    assert "lost topic=t partition=0 first=40 next=55" in caplog.messages
    chunks = list(ParquetSource(root).chunks(["t"]))
    assert chunks[-2].next_offset == 40


def test_retention_may_be_faster_than_archiving(tmp_path: Path) -> None:
    topic = Topic(made(40))

    class Forgetful(Kafka):
        async def poll(self) -> list[RecordChunk]:
            chunks = await super().poll()
            if self.position.get(TopicPartition("t", 0)) == 14:
                topic.begin, topic.records = 20, topic.records[20:]
            return chunks

    archive_to(tmp_path, Forgetful({("t", 0): topic}), flush_records=24)
    assert [record[0] for record in read(tmp_path)["t", 0]] == [*range(14), *range(20, 40)]
    assert lost_in(tmp_path) == [[[14, 20]], []]


@pytest.mark.parametrize(
    ("anew", "message"),
    [
        (Topic(made(12)), "expected offsets up to 40 in t/0, .* got an end at 12"),
        (Topic(made(60, spread_ms=1)), "expected the record of .* at offset 39 in t/0, .* another"),
        (Topic([], begin=0), "expected offsets up to 40 in t/0, .* got an end at 0"),
    ],
)
def test_a_topic_that_was_created_anew_is_refused(
    archived: tuple[Path, list[Record]], anew: Topic, message: str
) -> None:
    root, records = archived
    with pytest.raises(TrainingError, match=message):
        archive_to(root, Kafka({("t", 0): anew}))
    assert read(root)["t", 0] == records


def test_a_partition_that_is_gone_is_refused(archived: tuple[Path, list[Record]]) -> None:
    with pytest.raises(TrainingError, match="expected offsets up to 40 in t/0"):
        archive_to(archived[0], Kafka({("t", 1): Topic(made(5))}))


def test_compaction_may_remove_the_last_record(archived: tuple[Path, list[Record]]) -> None:
    root, records = archived
    later = made(60)
    archive_to(root, Kafka({("t", 0): Topic(later[:20] + later[43:])}))
    assert read(root)["t", 0] == records + later[43:]
    assert lost_in(root)[4:] == [[], []]


def test_a_full_disk_is_told_and_costs_nothing(
    archived: tuple[Path, list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, records = archived
    with monkeypatch.context() as patch:

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr(Store, "write", full)
        with pytest.raises(TrainingError, match=r"expected to write .*parquet, .*No space left"):
            archive_to(root, Kafka({("t", 0): Topic(made(50))}))
    assert read(root)["t", 0] == records
    archive_to(root, Kafka({("t", 0): Topic(made(50))}))
    assert read(root)["t", 0] == made(50)


def test_memory_stays_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    big = [(i, START_MS, b"k", b"x" * 1_000) for i in range(100)]
    small = [(i, START_MS, b"k", b"x") for i in range(100)]
    caplog.set_level(logging.INFO, "opportune")
    with pytest.MonkeyPatch.context() as patch:
        kafka = Kafka({("t", 0): Topic(big), ("t", 1): Topic(small)}, step=5)
        patch.setattr(archiver_module, "TopicReader", lambda *_: kafka)
        archive = Archive.open_or_create(tmp_path, 1)
        limits = Limits(1_000, age_s=600.0, size_bytes=20_000)
        asyncio.run(Archiver(archive, "", ["t"], limits, follow=False).run(asyncio.Event()))
    flushed = [line for line in caplog.messages if line.startswith("archived")]
    assert ["partition=0" in line for line in flushed] == [True] * (len(flushed) - 1) + [False]
    assert max(int(line.split("records=")[1].split()[0]) for line in flushed[:-1]) == 20
    assert read(tmp_path) == {("t", 0): big, ("t", 1): small}


def test_an_object_store_holds_an_archive() -> None:
    root = f"memory://{uuid.uuid4().hex}/archive"
    source = {("t", 0): made(23), ("t", 1): made(5)}
    for count in (11, 23):
        topics = {at: Topic(records[:count]) for at, records in source.items()}
        archive_to(root, Kafka(topics), flush_records=4)
    assert read(root) == source
    erased = erase_customer(Archive.open(root), ["t"], b"ann")
    assert erased.records == 4
    assert b"ann" not in {key for records in read(root).values() for _, _, key, _ in records}


def test_a_customer_is_erased_and_nobody_else(archived: tuple[Path, list[Record]]) -> None:
    root, records = archived
    before = {file: file.read_bytes() for file in sorted((root / "t").rglob("*.parquet"))}
    erased = erase_customer(Archive.open(root), ["t"], b"bob")
    left = [record for record in records if record[2] != b"bob"]
    assert erased.records == len(records) - len(left) > 0
    assert read(root)["t", 0] == left
    after = {file: file.read_bytes() for file in sorted((root / "t").rglob("*.parquet"))}
    assert list(after) == list(before)
    changed = [file for file in after if after[file] != before[file]]
    assert len(changed) == erased.rewritten
    assert {f"bucket={bucket_of(b'bob', 3):02}"} == {file.parent.name for file in changed}
    assert not [file for file in after if b"bob" in file.read_bytes()]
    assert erase_customer(Archive.open(root), ["t"], b"bob").rewritten == 0
    archive_to(root, Kafka({("t", 0): Topic(made(50))}))
    assert read(root)["t", 0] == left + made(50)[40:]


def test_old_days_are_erased(archived: tuple[Path, list[Record]]) -> None:
    root, records = archived
    erased = erase_before(Archive.open(root), ["t"], "2023-11-16")
    young = [record for record in records if day_of(record[1]) >= "2023-11-16"]
    assert read(root)["t", 0] == young
    assert 0 < len(young) < 30
    assert erased.records == 40 - len(young)
    assert erased.removed > 0
    erase_before(Archive.open(root), ["t"], "2030-01-01")
    assert read(root) == {}
    assert len(flushes_of(root)) == 1  # it says where to go on
    archive_to(root, Kafka({("t", 0): Topic(made(50))}))
    assert read(root)["t", 0] == made(50)[40:]


@pytest.mark.parametrize("k", range(1, 7))
def test_an_interrupted_erasure_is_made_whole_by_the_next(
    archived: tuple[Path, list[Record]], k: int
) -> None:
    root, records = archived
    with pytest.MonkeyPatch.context() as patch:
        Death(patch, k, "after")
        with pytest.raises(Killed):
            erase_before(Archive.open(root), ["t"], "2023-11-16")
    some = read(root)["t", 0]
    assert some == [record for record in records if record in some]
    erase_before(Archive.open(root), ["t"], "2023-11-16")
    assert read(root)["t", 0] == [r for r in records if day_of(r[1]) >= "2023-11-16"]


CAMPAIGN = """
app = "shop"
[topics]
events = ["{0}"]
decisions = "{1}"
[[features]]
op = "count"
half_lives = ["5d"]
[[strategies]]
id = "mail"
"""


class Process:
    """`opportune archive` as a process, with its log in a file."""

    def __init__(self, folder: Path, bootstrap: str, *arguments: str) -> None:
        self._log = folder / f"{uuid.uuid4().hex}.log"
        program = "from trainer.archive.command import archive; archive()"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable, "-c", program, str(folder / "opportune.toml"),
                    "--to", str(folder / "archive"), "--bootstrap", bootstrap,
                    "--log-format", "json", *arguments,
                ],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def text(self) -> str:
        return self._log.read_text()

    def lines(self, evt: str) -> list[dict[str, Any]]:
        whole = self.text().rpartition("\n")[0].splitlines()
        found = [json.loads(line) for line in whole if line.startswith("{")]
        return [line for line in found if line["evt"] == evt]

    def wait_for(self, evt: str, count: int = 1) -> None:
        until_s = time.monotonic() + 90
        while len(self.lines(evt)) < count:
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < until_s, self.text()
            time.sleep(0.02)

    def end(self, signal_number: int | None = None) -> int:
        if signal_number is not None:
            self.process.send_signal(signal_number)
        return self.process.wait(90)


@pytest.fixture
def start(
    tmp_path: Path,
    kafka: KafkaCluster,
    create_topics: CreateTopics,
    topic_name: Callable[[str], str],
) -> Iterator[tuple[list[str], Callable[..., Process]]]:
    """An event topic and a decision topic of two partitions, and a function that archives them."""
    names = [topic_name("events"), topic_name("decisions")]
    create_topics(dict.fromkeys(names, 2))
    (tmp_path / "opportune.toml").write_text(CAMPAIGN.format(*names))
    started: list[Process] = []

    def run(*arguments: str) -> Process:
        started.append(Process(tmp_path, kafka.bootstrap, *arguments))
        return started[-1]

    yield names, run
    for process in started:
        process.process.kill()
        process.process.wait()


def held_by(bootstrap: str, topics: Sequence[str]) -> dict[tuple[str, int], list[Record]]:
    """What Kafka holds of two partitions of each topic, read by another client."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "x", "enable.partition.eof": True}
    )
    places = [Place(topic, partition, OFFSET_BEGINNING) for topic in topics for partition in (0, 1)]
    consumer.assign(places)
    found: dict[tuple[str, int], list[Record]] = defaultdict(list)
    ended = 0
    while ended < len(places):
        message = consumer.poll(30)
        assert message is not None
        if message.error():
            assert message.error().code() == KafkaError._PARTITION_EOF
            ended += 1
        else:
            row = (message.offset(), message.timestamp()[1], message.key(), message.value())
            found[message.topic(), message.partition()].append(row)
    consumer.close()
    return dict(found)


def produce(bootstrap: str, topic: str, records: Sequence[Record]) -> None:
    """Sends to both partitions of a topic."""
    producer = Producer({
        "bootstrap.servers": bootstrap, "compression.type": "zstd", "enable.idempotence": True,
    })  # fmt: skip
    for _, time_ms, key, value in records:
        for partition in (0, 1):
            producer.produce(topic, value, key, partition, timestamp=time_ms)
    assert producer.flush(30) == 0


def remove_before(bootstrap: str, topic: str, partition: int, offset: int) -> None:
    """What retention does: the records before an offset go."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for removed in admin.delete_records([Place(topic, partition, offset)]).values():
        removed.result(30)


@pytest.mark.kafka
def test_once_archives_what_kafka_holds_and_goes_on(
    kafka: KafkaCluster, tmp_path: Path, start: tuple[list[str], Callable[..., Process]]
) -> None:
    names, run = start
    produce(kafka.bootstrap, names[0], made(50))
    produce(kafka.bootstrap, names[1], made(20))
    first = run("--once", "--buckets", "3", "--flush-records", "30")
    assert first.end() == 0, first.text()
    assert "140 records in " in first.text()
    assert read(tmp_path / "archive") == held_by(kafka.bootstrap, names)
    before = read(tmp_path / "archive")

    produce(kafka.bootstrap, names[0], made(10))
    remove_before(kafka.bootstrap, names[0], 1, 55)
    second = run("--once", "--topic", names[0])
    assert second.end() == 0, second.text()
    assert "15 records in " in second.text()
    (lost,) = second.lines("lost")
    assert (lost["partition"], lost["first"], lost["next"]) == (1, 50, 55)
    after = read(tmp_path / "archive")
    held = held_by(kafka.bootstrap, names)
    assert after[names[0], 0] == held[names[0], 0]
    assert after[names[0], 1] == before[names[0], 1] + held[names[0], 1]


@pytest.mark.kafka
@pytest.mark.slow
def test_killed_under_load_it_archives_every_record_once(
    kafka: KafkaCluster,
    tmp_path: Path,
    start: tuple[list[str], Callable[..., Process]],
    seed: int,
) -> None:
    names, run = start
    often = ("--flush-s", "0.2", "--flush-records", "400", "--buckets", "4")
    with Load(kafka.bootstrap, names, 2, rate=3_000, seed=seed):
        for kill in range(3):
            process = run(*often)
            process.wait_for("archived", 2 + kill)
            time.sleep(random.Random(seed + kill).random() / 5)
            assert process.end(signal.SIGKILL) == -signal.SIGKILL
        last = run(*often)
        last.wait_for("archived", 3)
        other = run(*often)
        assert other.end() != 0
        assert f"pid {last.process.pid}, since" in other.text()
    assert last.end(signal.SIGTERM) == 0
    (stop,) = last.lines("stop")
    assert stop["records"] > 0
    assert last.lines("archived")[-1]["mb"] > 0
    once = run("--once")
    assert once.end() == 0, once.text()
    assert read(tmp_path / "archive") == held_by(kafka.bootstrap, names)


@pytest.mark.kafka
def test_following_takes_up_new_partitions_and_writes_what_waits_when_it_stops(
    kafka: KafkaCluster,
    tmp_path: Path,
    create_topics: CreateTopics,
    topic_name: Callable[[str], str],
) -> None:
    name = topic_name("events")
    create_topics({name: 1})
    archive = Archive.open_or_create(tmp_path, 2)
    limits = Limits(1_000, age_s=600.0, size_bytes=1 << 30)
    archiver = Archiver(archive, kafka.bootstrap, [name], limits, follow=True)

    async def follow() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(archiver.run(stop))
        while not archiver._pending:  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.05)
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        for grown in admin.create_partitions([NewPartitions(name, 2)]).values():
            await asyncio.to_thread(grown.result, 30)
        await asyncio.to_thread(produce, kafka.bootstrap, name, made(20))
        while sum(pending.records for pending in archiver._pending.values()) < 40:
            await archiver._reader._connected()._client.force_metadata_update()
            await asyncio.sleep(0.05)
        assert archiver._summary.files == 0
        stop.set()
        summary = await running
        assert (summary.records, summary.complete) == (40, False)

    asyncio.run(asyncio.wait_for(follow(), 60))
    assert read(tmp_path) == held_by(kafka.bootstrap, [name])


def test_the_examples_of_the_documentation_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    midnight_ms = 1_795_478_400_000  # 2026-11-24
    orders = [
        (i, midnight_ms + i * 9_000_000, b"u-%d" % (i % 9), b'{"event": "Order"}')
        for i in range(90)
    ]
    orders[3] = (*orders[3][:3], None)
    archive_to(tmp_path / "archive", Kafka({("orders", 0): Topic(orders)}), buckets=8)
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "archive.md").read_text()
    bucket, day, customer = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(bucket, {})
    assert capsys.readouterr().out == f"{bucket_of(b'u-7', 8)}\n"
    exec(day, {})
    assert re.search(r"b'u-0'\s+2\n.*\nName: event", capsys.readouterr().out, re.DOTALL)
    exec(customer, {})
    assert len(re.findall(r"Order", capsys.readouterr().out)) == 10


def test_the_command_erases(archived: tuple[Path, list[Record]]) -> None:
    root, records = archived
    run = CliRunner()
    for wrong in ([], ["--customer", "x", "--before", "2023-11-15"]):
        assert "Name either" in run.invoke(erase, [str(root), "--yes", *wrong]).output
    assert run.invoke(erase, [str(root), "--customer", "bob"], input="n\n").exit_code == 1
    assert read(root)["t", 0] == records
    done = run.invoke(erase, [str(root), "--customer", "bob", "--yes"], catch_exceptions=False)
    assert "6 records deleted" in done.output
    done = run.invoke(erase, [str(root), "--before", "2023-11-15", "--yes"], catch_exceptions=False)
    assert done.exit_code == 0
    left = [record for record in records if record[2] != b"bob"]
    assert read(root)["t", 0] == [r for r in left if day_of(r[1]) >= "2023-11-15"]


def test_offsets_without_a_record_are_covered(tmp_path: Path) -> None:
    aborted = Topic(made(10), end=13)
    archive_to(tmp_path, Kafka({("t", 0): aborted}))
    assert list(ParquetSource(tmp_path).chunks(["t"]))[-1].next_offset == 13
    assert [path.name[2:] for (path, *_) in flushes_of(tmp_path)] == [
        f"{0:020}-{13:020}-1of4.parquet"
    ]
    archive_to(tmp_path, Kafka({("t", 0): Topic(made(10) + made(5, first=13))}))
    assert read(tmp_path)["t", 0] == made(10) + made(5, first=13)
    assert lost_in(tmp_path) == [[], []]


def test_once_ends_where_the_topic_ended_when_it_began(tmp_path: Path) -> None:
    topic = Topic(made(40), end=40)

    class Busy(Kafka):
        async def poll(self) -> list[RecordChunk]:
            topic.records, topic.end = made(80), 80
            return await super().poll()

    summary = archive_to(tmp_path, Busy({("t", 0): topic}, step=25, chunks=3))
    assert (summary.records, summary.complete) == (40, True)
    assert read(tmp_path)["t", 0] == made(40)
