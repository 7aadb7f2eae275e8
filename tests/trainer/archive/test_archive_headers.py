"""Headers of records in the archive, and archives from before there were any."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from aiokafka.structs import TopicPartition

from stream.columns import RecordChunk
from stream.kafka.headers import Header, header_spans, read_headers
from tests.trainer.archive.archive_harness import (
    DAY_MS,
    ROOT,
    START_MS,
    Kafka,
    Record,
    Topic,
    archive_to,
    made,
    names_of,
    read,
)
from trainer.archive.compact import compact
from trainer.archive.erase import erase_customer
from trainer.archive.folder import Archive
from trainer.archive.reader import ParquetSource
from trainer.archive.writer import Pending
from trainer.errors import TrainingError
from trainer.history.source import EVERYTHING, Bounds

GOLDEN = ROOT / "tests/golden/archive-format-1"


@dataclass
class HeaderKafka(Kafka):
    """Records of which some have headers, by their offset."""

    headers: dict[int, list[Header]] = field(default_factory=dict)

    def _next(self, tp: TopicPartition) -> list[RecordChunk]:
        return [
            replace(chunk, headers=header_spans([self.headers.get(i, []) for i in chunk.offset]))
            for chunk in super()._next(tp)
        ]


def headers_of(chunks: Sequence[RecordChunk]) -> dict[int, list[Header]]:
    """The headers of each record that has some."""
    return {
        int(chunk.offset[i]): read_headers(chunk.headers[i])
        for chunk in chunks
        if chunk.headers is not None
        for i in range(len(chunk))
        if chunk.headers[i]
    }


def read_chunks(root: Path) -> list[RecordChunk]:
    return list(ParquetSource(root).chunks(Archive.open(root).topics()))


def read_with_headers(root: Path, offsets: tuple[int, int] | None = None) -> list[RecordChunk]:
    """What a campaign reads that names a header."""
    bounds = EVERYTHING if offsets is None else Bounds(offsets={"events": {3: offsets}})
    source = ParquetSource(root, bounds, headers=["header:tenant"])
    return list(source.chunks(Archive.open(root).topics()))


def some_headers(offsets: Sequence[int]) -> dict[int, list[Header]]:
    return {
        i: [("ce_id", b"%d" % i), ("größe", None), ("", b"\0\xff" * (i % 7))]
        for i in offsets
        if i % 3
    }


@pytest.mark.parametrize("first", [0, 25])
def test_headers_come_out_as_they_went_in(tmp_path: Path, first: int) -> None:
    records, headers = made(40), some_headers(range(first, 40))
    kafka = HeaderKafka({("t", 0): Topic(records)}, 4, 2, headers=headers)
    archive_to(tmp_path, kafka, flush_records=20)
    chunks = read_chunks(tmp_path)
    assert headers_of(chunks) == headers
    assert read(tmp_path) == {("t", 0): records}
    stored = [
        headers
        for name in names_of(tmp_path, "t")
        for headers in pq.read_table(tmp_path / "t" / name.path)["headers"].to_pylist()
    ]
    assert (len(stored), stored.count(None)) == (40, 40 - len(headers))


def test_without_headers_nothing_is_carried(tmp_path: Path) -> None:
    archive_to(tmp_path, Kafka({("t", 0): Topic(made(12))}))
    assert all(chunk.headers is None for chunk in read_chunks(tmp_path))


def test_headers_survive_compaction_and_erasure(tmp_path: Path) -> None:
    records = [(i, START_MS, b"ann" if i % 2 else b"bob", b"v") for i in range(20)]
    headers = some_headers(range(20))
    archive_to(tmp_path, HeaderKafka({("t", 0): Topic(list(records))}, headers=headers), 4, 2)
    archive = Archive.open(tmp_path)
    assert compact(archive, ["t"], "2030-01-01", 1 << 30).files_before
    assert headers_of(read_chunks(tmp_path)) == headers
    assert erase_customer(archive, ["t"], b"ann").records == 10
    assert headers_of(read_chunks(tmp_path)) == {i: h for i, h in headers.items() if i % 2 == 0}


def test_what_waits_counts_its_headers() -> None:
    records = made(6)
    headers: dict[int, list[Header]] = {i: [("h", bytes(100))] for i in range(6)}
    sizes = []
    for own in ({}, headers):
        kafka = HeaderKafka({("t", 0): Topic(records)}, headers=own)
        kafka.assign({TopicPartition("t", 0): 0})
        pending = Pending(0, 0, 0)
        for chunk in kafka._next(TopicPartition("t", 0)):
            pending.add(chunk, 0.0)
        sizes.append(pending.size_bytes)
    assert sizes[1] - sizes[0] >= 6 * 100


def golden_records() -> list[Record]:
    return [
        (7, START_MS, b"ann", b"{}"),
        (8, START_MS, b"ann", b""),
        (9, START_MS + DAY_MS, None, None),
    ]


def test_an_archive_without_the_column_is_read_and_goes_on(tmp_path: Path) -> None:
    root = shutil.copytree(GOLDEN, tmp_path / "archive")
    assert read(root) == {("events", 3): golden_records()}
    assert headers_of(read_chunks(root)) == {}
    more: list[Record] = [*golden_records(), (12, START_MS + DAY_MS, b"ann", b"new")]
    headers: dict[int, list[Header]] = {12: [("ce_id", b"12")]}
    archive_to(root, HeaderKafka({("events", 3): Topic(more, begin=5)}, headers=headers), buckets=8)
    assert read(root) == {("events", 3): more}
    assert headers_of(read_chunks(root)) == headers
    assert erase_customer(Archive.open(root), ["events"], b"ann").records == 3
    assert read(root) == {("events", 3): [golden_records()[2]]}


def test_who_needs_headers_is_told_of_records_that_lost_theirs(tmp_path: Path) -> None:
    root = shutil.copytree(GOLDEN, tmp_path / "archive")
    said = "names header:tenant, got records from offset 5 to 10 without them in .*kept none"
    with pytest.raises(TrainingError, match=said):
        read_with_headers(root)
    new: list[Record] = [(i, START_MS + DAY_MS, b"ann", b"new") for i in (11, 12)]
    headers: dict[int, list[Header]] = {i: [("tenant", b"shoes")] for i in (11, 12)}
    topic = Topic([*golden_records(), *new], begin=5)
    kafka = HeaderKafka({("events", 3): topic}, 1, 1, headers=headers)
    archive_to(root, kafka, flush_records=1, buckets=8)
    archive = Archive.open(root)
    assert compact(archive, ["events"], "2030-01-01", 1 << 30).files_before
    assert headers_of(read_with_headers(root, (10, 13))) == headers
    with pytest.raises(TrainingError, match=said):
        read_with_headers(root)
    # Erased records need no headers; those beside them still do.
    assert erase_customer(archive, ["events"], b"ann").records == 4
    with pytest.raises(TrainingError, match=said):
        read_with_headers(root)


def test_headers_that_were_kept_are_read_by_who_needs_them(tmp_path: Path) -> None:
    headers: dict[int, list[Header]] = {i: [("tenant", b"shoes")] for i in range(9)}
    archive_to(tmp_path, HeaderKafka({("events", 3): Topic(made(9))}, headers=headers))
    assert headers_of(read_with_headers(tmp_path)) == headers
