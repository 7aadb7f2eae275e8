"""What an archive lacks, as whoever reads it is told; and how much of one is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stream.campaign.file import parse
from stream.campaign.words import duration_ms
from tests.trainer.archive.archive_harness import Kafka, Record, Topic, archive_to, made, records_of
from tests.trainer.shop_history import CAMPAIGN
from trainer.archive.erase import erase_before, erase_customer
from trainer.archive.folder import Archive
from trainer.archive.layout import day_of
from trainer.archive.reader import ParquetSource
from trainer.commands.options.history_options import HistoryOptions
from trainer.errors import TrainingError
from trainer.history.gaps import ERASED, HISTORY, LOST, NOT_ARCHIVED, OFFSETS, SINCE, Gap
from trainer.history.source import Bounds, KafkaSource

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
END = (40, None, NOT_ARCHIVED)


def told(root: Path, topics: str = "t", **how: Any) -> list[tuple[int, int | None, str]]:
    """The gaps of topics with names of one letter, in the order in which they came."""
    chunks = ParquetSource(root, tells_gaps=True, **how).chunks(list(topics))
    return [(gap.next_offset, gap.until, gap.why) for gap in chunks if isinstance(gap, Gap)]


def test_an_archive_says_where_it_begins_and_that_its_end_need_not_be_one(tmp_path: Path) -> None:
    topic = Topic(made(34, first=6), begin=6)
    archive_to(tmp_path, Kafka({("t", 0): topic, ("u", 0): Topic(made(9)), ("u", 1): Topic([])}))
    assert told(tmp_path) == [(0, 6, NOT_ARCHIVED), END]
    archive_to(tmp_path, Kafka({("u", 0): Topic(made(9)), ("u", 1): Topic(made(5))}))
    # Nobody knows whether t/1 is empty or was not archived.
    assert told(tmp_path, "ut") == [
        (9, None, NOT_ARCHIVED), (5, None, NOT_ARCHIVED),
        (0, None, NOT_ARCHIVED), (0, 6, NOT_ARCHIVED), END,
    ]  # fmt: skip
    source = ParquetSource(tmp_path)
    assert not any(isinstance(chunk, Gap) for chunk in source.chunks(["t", "u"]))


def test_bounds_are_told_as_gaps(tmp_path: Path) -> None:
    archive_to(tmp_path, Kafka({("t", 0): Topic(made(40)), ("t", 1): Topic(made(9))}))
    bounds = Bounds(offsets={"t": {0: (3, 20)}})
    assert told(tmp_path, bounds=bounds) == [(0, 3, OFFSETS), (20, None, OFFSETS), (0, 9, OFFSETS)]
    day_ms = made(1)[0][1] // DAY_MS * DAY_MS + DAY_MS
    end_9 = (9, None, NOT_ARCHIVED)
    since = Bounds(since_ms=day_ms + HOUR_MS)
    assert told(tmp_path, bounds=since) == [(0, 0, SINCE), END, (0, 0, SINCE), end_9]
    assert told(tmp_path, bounds=Bounds(since_ms=day_ms - DAY_MS)) == [END, end_9]
    with pytest.raises(TrainingError, match=r"topics that are read, \['t'\], got some of \['x'\]"):
        told(tmp_path, bounds=Bounds(offsets={"x": {0: (0, 1)}}))


def test_lost_records_are_told_between_those_around_them(tmp_path: Path) -> None:
    archive_to(tmp_path, Kafka({("t", 0): Topic(made(10))}))
    late = Topic(made(100)[15:], begin=15)
    archive_to(tmp_path, Kafka({("t", 0): late}, step=100), flush_records=200)
    source = ParquetSource(tmp_path, tells_gaps=True)
    end, before, gap, after = source.chunks(["t"])
    assert isinstance(end, Gap)
    assert isinstance(gap, Gap)
    assert (gap.next_offset, gap.until, gap.why) == (10, 15, LOST)
    assert (before.next_offset, int(after.offset[0])) == (10, 15)
    assert records_of([before, after])["t", 0] == made(10) + made(100)[15:]
    within = Bounds(offsets={"t": {0: (12, 40)}})
    assert (12, 15, LOST) in told(tmp_path, bounds=within)


def test_erased_days_are_told_and_an_erased_customer_is_not(tmp_path: Path) -> None:
    records: list[Record] = [(i, ms, b"k%d" % (i % 7), b"v") for i, ms, *_ in made(60)]
    archive_to(tmp_path, Kafka({("t", 0): Topic(records)}, step=25), flush_records=25)
    end = (60, None, NOT_ARCHIVED)
    erase_customer(Archive.open(tmp_path), ["t"], b"k3")
    assert told(tmp_path) == [end]
    day = day_of(records[40][1])
    erase_before(Archive.open(tmp_path), ["t"], day)
    chunks = list(ParquetSource(tmp_path).chunks(["t"]))
    first = int(chunks[0].offset[0])
    begin = 25 if first >= 25 else 0
    assert told(tmp_path) == [(0, 25, NOT_ARCHIVED), end, (begin, first, ERASED)]


def test_training_history_reads_the_newest_days(tmp_path: Path) -> None:
    archive_to(tmp_path, Kafka({("t", 0): Topic(made(40, spread_ms=DAY_MS))}))

    def first(**how: Any) -> int:
        return int(next(ParquetSource(tmp_path, **how).chunks(["t"])).offset[0])

    assert first() == 0
    # The newest day counts to its end, and the day in which the history begins is read whole.
    assert first(history_ms=5 * DAY_MS) == 35
    assert first(history_ms=5 * DAY_MS + HOUR_MS) == 34
    assert first(history_ms=500 * DAY_MS) == 0
    assert (0, 0, HISTORY) in told(tmp_path, history_ms=5 * DAY_MS)
    until = Bounds(until_ms=made(11, spread_ms=DAY_MS)[10][1])
    assert first(bounds=until, history_ms=5 * DAY_MS) == 5
    assert first(bounds=Bounds(since_ms=1), history_ms=DAY_MS) == 0  # what was asked for wins
    assert first(bounds=Bounds(offsets={"t": {0: (2, 40)}}), history_ms=DAY_MS) == 2


def test_commands_are_told_of_gaps(tmp_path: Path) -> None:
    archive_to(tmp_path, Kafka({("t", 0): Topic(made(40, spread_ms=DAY_MS))}))
    campaign = parse(CAMPAIGN + 'history = "5d"\n')
    chunks = list(HistoryOptions(None, str(tmp_path), Bounds()).source(campaign).chunks(["t"]))
    assert [chunk.why for chunk in chunks if isinstance(chunk, Gap)] == [HISTORY, NOT_ARCHIVED]
    source = HistoryOptions("there:1", None, Bounds()).source(campaign)
    ahead_max_ms = duration_ms(campaign.events.timestamp_ahead_max)
    assert source == KafkaSource("there:1", Bounds(), ahead_max_ms, 5 * DAY_MS, tells_gaps=True)
