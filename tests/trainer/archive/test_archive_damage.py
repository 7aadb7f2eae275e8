"""What is wrong with an archive is found and named."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.store import Store
from tests.trainer.archive.archive_harness import (
    Kafka,
    Record,
    Topic,
    archive_to,
    flushes_of,
    made,
    read,
    relative,
)
from trainer.archive.files import encode
from trainer.archive.folder import Archive
from trainer.archive.layout import Facts, FileName
from trainer.archive.reader import ParquetSource
from trainer.errors import TrainingError
from trainer.history.source import Bounds


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
        (encode(table, msgspec.structs.replace(facts, format=3)), "file of format 1 or 2 .* got 3"),
        (
            encode(table, msgspec.structs.replace(facts, format=1)),
            "expected the columns .*'value'. in",
        ),
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
    assert Archive.open(root).buckets == 3
    assert read(root)["t", 0] == made(50)


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
