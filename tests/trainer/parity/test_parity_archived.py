"""Parity with events from an archive: what retention has removed of them is compared as well."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from stream.columns import RecordChunk
from tests.trainer.archive import archive_harness as archives
from tests.trainer.parity.parity_harness import Shop, causes, chunks
from trainer.archive.compact import compact
from trainer.archive.erase import erase_before, erase_customer
from trainer.archive.folder import Archive
from trainer.archive.layout import day_of
from trainer.errors import TrainingError
from trainer.history.topics import Extent
from trainer.parity.archived import ArchivedTopics
from trainer.parity.check import check_parity
from trainer.parity.logged import Scope
from trainer.parity.partition_reader import Topics
from trainer.parity.result import Parity


@dataclass
class Memory:
    """Stands for `Topics`: the topics of a shop, of which retention has removed the beginning."""

    shop: Shop
    starts: dict[str, int]
    done: int = 0
    total: int = 0

    def extents(self, topic: str) -> dict[int, Extent]:
        found = Extent(self.starts.get(topic, 0), len(self._records(topic)))
        self.total += found.end - found.begin
        return {0: found}

    def _records(self, topic: str) -> list[object]:
        return self.shop.events.get(topic, self.shop.decisions)  # type: ignore[return-value]

    def archived(self, topic: str, partition: int) -> int:
        return 0

    def count(self, done: int = 0, total: int = 0) -> None:
        self.done += done
        self.total += total

    def chunks(self, topic: str, partition: int, extent: Extent) -> Iterator[RecordChunk]:
        assert extent.begin >= self.starts.get(topic, 0), "gone"
        self.done += extent.end - extent.begin
        yield from chunks(topic, self._records(topic)[extent.begin : extent.end], extent.begin)  # type: ignore[arg-type]


def archive(shop: Shop, root: Path, end: int) -> None:
    """Archives the events before an offset."""
    records = [
        (i, one.timestamp_ms, one.key, one.value)
        for i, one in enumerate(shop.events["events"][:end])
    ]
    kafka = archives.Kafka({("events", 0): archives.Topic(records)})
    archives.archive_to(root, kafka, flush_records=20)


def check(shop: Shop, begin: int, root: Path | None = None, decided: int = 0) -> Parity:
    memory = Memory(shop, {"events": begin, "shop-decisions": decided})
    kafka = cast(Topics, memory)
    topics = kafka if root is None else ArchivedTopics(kafka, str(root), ["events"])
    parity = check_parity(shop.campaign, shop.registry, topics, Scope())
    assert memory.done == memory.total
    return parity


def test_the_archive_gives_what_retention_removed(shop: Shop, tmp_path: Path) -> None:
    assert causes(check(shop, 90)).keys() == {"history_cut", "event_removed"}
    archive(shop, tmp_path / "a", 110)
    compact(Archive.open(tmp_path / "a"), ["events"], "2030-01-01", 1 << 30)
    parity = check(shop, 90, tmp_path / "a")
    assert (parity.findings, parity.events, parity.equal) == ((), 150, 150)
    shop.flip(40)
    shop.flip(140)
    assert causes(check(shop, 90, tmp_path / "a")) == {"different": 2}


def test_an_archive_that_ends_too_early_is_refused(shop: Shop, tmp_path: Path) -> None:
    archive(shop, tmp_path / "a", 60)
    with pytest.raises(TrainingError, match=r"events/0 in Kafka from offset 60 on, .* got 90"):
        check(shop, 90, tmp_path / "a")
    Archive.open_or_create(tmp_path / "b", 1)
    with pytest.raises(TrainingError, match=r"topic events in .*/b, got nothing"):
        check(shop, 90, tmp_path / "b")


def test_who_was_erased_has_no_events_and_nobody_is_accused(shop: Shop, tmp_path: Path) -> None:
    archive(shop, tmp_path / "a", 110)
    gone = [record.key for record in shop.events["events"][:110]].count(b"c3")
    erase_customer(Archive.open(tmp_path / "a"), ["events"], b"c3")
    found = causes(check(shop, 90, tmp_path / "a"))
    assert found.pop("event_removed") == gone
    assert found.keys() <= {"history_cut"}
    shop.flip(next(i for i in range(150) if shop.events["events"][i].key != b"c3"))
    assert causes(check(shop, 90, tmp_path / "a"))["different"] == 1


def test_old_days_that_were_erased_cut_the_history(shop: Shop, tmp_path: Path) -> None:
    archive(shop, tmp_path / "a", 110)
    day = day_of(shop.events["events"][50].timestamp_ms)
    erased = erase_before(Archive.open(tmp_path / "a"), ["events"], day)
    found = check(shop, 90, tmp_path / "a")
    assert causes(found)["event_removed"] == erased.records > 0
    assert causes(found).keys() == {"event_removed", "history_cut"}
    # Without the decisions about them nobody knows whose events were erased.
    found = check(shop, 90, tmp_path / "a", decided=70)
    assert causes(found).keys() == {"decision_removed", "history_cut"}
