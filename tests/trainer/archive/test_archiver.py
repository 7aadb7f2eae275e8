"""Where archiving goes on, what retention took, and when files are written."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from aiokafka.structs import TopicPartition

from stream.columns import RecordChunk
from tests.trainer.archive.archive_harness import (
    ROOT,
    START_MS,
    Kafka,
    Record,
    Topic,
    archive_to,
    flushes_of,
    lost_in,
    made,
    read,
)
from trainer.archive import archiver as archiver_module
from trainer.archive.archiver import Archiver, Limits
from trainer.archive.folder import Archive, TopicFolder
from trainer.archive.reader import ParquetSource
from trainer.commands.archive import archive
from trainer.errors import TrainingError


def test_an_archiver_lists_each_topic_once_when_it_starts(
    archived: tuple[Path, list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []
    paths = TopicFolder._paths

    def told(folder: TopicFolder) -> Any:
        listed.append(folder.topic)
        return paths(folder)

    monkeypatch.setattr(TopicFolder, "_paths", told)
    archive_to(archived[0], Kafka({("t", 0): Topic(made(40)), ("t", 1): Topic(made(5))}))
    assert listed == ["t"]


def test_what_waits_is_flushed_four_times_a_day() -> None:
    """More often makes an archive of many small files, which is slow to read."""
    (flush_s,) = (option for option in archive.params if option.name == "flush_s")
    assert flush_s.default == 6 * 3600
    assert f"`--flush-s` ({flush_s.default:,.0f}," in (ROOT / "docs" / "archive.md").read_text()


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


def test_memory_stays_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    big: list[Record] = [(i, START_MS, b"k", b"x" * 1_000) for i in range(100)]
    small: list[Record] = [(i, START_MS, b"k", b"x") for i in range(100)]
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


def test_the_last_record_is_the_one_with_the_last_offset_whatever_its_day(tmp_path: Path) -> None:
    """It came late, and retention has left nothing else of what was archived."""
    archive_to(tmp_path, Kafka({("t", 0): Topic([*made(39), (39, START_MS, b"ann", b"late")])}))
    anew = Topic(made(45, spread_ms=1)[39:], begin=39)
    with pytest.raises(
        TrainingError, match=r"expected the record of .* at offset 39 in t/0.*another"
    ):
        archive_to(tmp_path, Kafka({("t", 0): anew}))
