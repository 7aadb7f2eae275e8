"""The archive: every record once and byte for byte, whatever crashes when."""

from __future__ import annotations

import re
import shutil
import uuid
import zlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.columns import Spans
from tests.trainer.archive.archive_harness import (
    DAY_MS,
    KEYS,
    ROOT,
    START_MS,
    Death,
    Kafka,
    Killed,
    Record,
    Topic,
    archive_to,
    made,
    names_of,
    read,
    read_all,
    records_of,
)
from trainer.archive.columns import buckets_of
from trainer.archive.erase import erase_customer
from trainer.archive.folder import Archive
from trainer.archive.layout import FACTS, bucket_of, day_of
from trainer.archive.reader import ParquetSource
from trainer.errors import TrainingError
from trainer.history.source import Bounds

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


@pytest.mark.slow
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


def test_names_facts_and_buckets_stay_what_they_are(tmp_path: Path) -> None:
    records: list[Record] = [(7, START_MS, b"ann", b"{}"), (9, START_MS + DAY_MS, None, None)]
    archive_to(tmp_path, Kafka({("events", 3): Topic(records, begin=5)}), buckets=8)
    assert (tmp_path / "archive.json").read_bytes() == b'{"format":1,"buckets":8}'
    first = "date=2023-11-14/bucket=02/3-00000000000000000005-00000000000000000010-1of2.parquet"
    second = "date=2023-11-15/bucket=00/3-00000000000000000005-00000000000000000010-2of2.parquet"
    assert sorted(name.path for name in names_of(tmp_path, "events")) == [first, second]
    file = pq.ParquetFile(tmp_path / "events" / first)
    assert file.schema_arrow.metadata[FACTS] == (
        b'{"format":2,"topic":"events","partition":3,"first_offset":5,"next_offset":10,'
        b'"day":"2023-11-14","bucket":2,"buckets":8,"k":1,"n":2,"rows":1,"lost":[]}'
    )
    assert [(column.name, column.physical_type) for column in file.schema] == [
        ("offset", "INT64"),
        ("timestamp_ms", "INT64"),
        ("key", "BYTE_ARRAY"),
        ("value", "BYTE_ARRAY"),
        ("headers", "BYTE_ARRAY"),
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


def test_bounds_choose_what_is_read(archived: tuple[Path, list[Record]]) -> None:
    root, records = archived
    some = Bounds(offsets={"t": {0: (13, 27)}})
    chunks = list(ParquetSource(root, some).chunks(["t"]))
    assert records_of(chunks)["t", 0] == records[13:27]
    assert chunks[-1].next_offset == 27
    progress: list[tuple[int, int]] = []
    list(ParquetSource(root).chunks(["t"], lambda *at: progress.append(at)))
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


def test_the_examples_of_the_documentation_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    midnight_ms = 1_795_478_400_000  # 2026-11-24
    orders: list[Record] = [
        (i, midnight_ms + i * 9_000_000, b"u-%d" % (i % 9), b'{"event": "Order"}')
        for i in range(90)
    ]
    orders[3] = (*orders[3][:3], None)
    archive_to(tmp_path / "archive", Kafka({("orders", 0): Topic(orders)}), buckets=8)
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "archive.md").read_text()
    headers, bucket, day, customer = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(headers, {})
    assert capsys.readouterr().out == "[('ce_id', b'7')]\n"
    exec(bucket, {})
    assert capsys.readouterr().out == f"{bucket_of(b'u-7', 8)}\n"
    exec(day, {})
    assert re.search(r"b'u-0'\s+2\n.*\nName: event", capsys.readouterr().out, re.DOTALL)
    exec(customer, {})
    assert len(re.findall(r"Order", capsys.readouterr().out)) == 10
