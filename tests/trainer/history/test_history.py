"""Reading topics as history: all of it to an end that is fixed, within bounds, or a clear error."""

from __future__ import annotations

from collections.abc import Callable

import click
import pytest

from tests.conftest import CreateTopics, KafkaCluster
from tests.kafka_client import remove_before, send
from tests.trainer.history.history_harness import HOUR_MS, START_MS, made, offsets, rows
from trainer.commands.options.history_options import OffsetBound, offset_bounds
from trainer.errors import TrainingError
from trainer.history.gaps import HISTORY, OFFSETS, RETENTION, SINCE, Gap, Older
from trainer.history.source import Bounds, KafkaSource


@pytest.mark.kafka
def test_all_that_is_there_comes_once_and_in_order(
    kafka: KafkaCluster, create_topics: CreateTopics, topic_name: Callable[[str], str]
) -> None:
    names = [topic_name("a"), topic_name("b")]
    create_topics(dict.fromkeys(names, 2))
    odd = [(None, b"value"), (b"key", None), (None, None), (b"", b""), (b"k\0\xff", b"\xfe")]
    sent = [
        (name, partition, i, START_MS + i, key, value)
        for name in names
        for partition in range(2)
        for i, (key, value) in enumerate(odd * 3)
    ]
    send(kafka.bootstrap, sent)
    progress: list[tuple[int, int]] = []
    read = list(KafkaSource(kafka.bootstrap).chunks(names, lambda *at: progress.append(at)))
    assert sorted(rows(read), key=lambda row: row[:3]) == sent
    for name in names:
        for partition in range(2):
            of_one = [c for c in read if (c.topic, c.partition) == (name, partition)]
            assert offsets(of_one, partition) == list(range(15))
    assert progress[-1] == (60, 60)
    assert progress == sorted(progress)


@pytest.mark.kafka
def test_what_comes_while_reading_is_left_out(kafka: KafkaCluster, topic: str) -> None:
    reading = KafkaSource(kafka.bootstrap).chunks([topic])
    first = next(reading)
    send(kafka.bootstrap, made(topic, 0, 5) + made(topic, 2, 5))
    read = [first, *reading]
    assert offsets(read, 0) == list(range(30))
    assert offsets(read, 2) == []


@pytest.mark.kafka
def test_a_transaction_ends_in_an_offset_without_a_record(
    kafka: KafkaCluster, topic: str, topic_name: Callable[[str], str]
) -> None:
    send(kafka.bootstrap, made(topic, 2, 3), **{"transactional.id": topic_name("tx")})
    progress: list[tuple[int, int]] = []
    read = list(KafkaSource(kafka.bootstrap).chunks([topic], lambda *at: progress.append(at)))
    assert offsets(read, 2) == [0, 1, 2]
    assert progress[-1] == (44, 44)


@pytest.mark.kafka
def test_offsets_bound_what_is_read_of_a_topic(kafka: KafkaCluster, topic: str) -> None:
    bounds = Bounds(offsets={topic: {0: (5, 8), 1: (10, 10)}})
    read = list(KafkaSource(kafka.bootstrap, bounds).chunks([topic]))
    assert [row[1:3] for row in rows(read)] == [(0, 5), (0, 6), (0, 7)]
    assert read[-1].next_offset == 8


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("bound", "message"),
    [
        ({0: (5, 31)}, r"offsets 5 to 31 of {}/0, got 0 to 30"),
        ({1: (0, 11)}, r"offsets 0 to 11 of {}/1, got 0 to 10"),
        ({3: (0, 1)}, r"partition 3 of {}, .* got the partitions \[0, 1, 2\]"),
    ],
)
def test_offsets_that_are_not_there_are_refused(
    kafka: KafkaCluster, topic: str, bound: dict[int, tuple[int, int]], message: str
) -> None:
    source = KafkaSource(kafka.bootstrap, Bounds(offsets={topic: bound}))
    with pytest.raises(TrainingError, match=message.format(topic)):
        list(source.chunks([topic]))


@pytest.mark.kafka
def test_offsets_that_retention_has_removed_are_refused(kafka: KafkaCluster, topic: str) -> None:
    remove_before(kafka.bootstrap, topic, 0, 6)
    wanted = Bounds(offsets={topic: {0: (5, 8)}})
    with pytest.raises(TrainingError, match=f"offsets 5 to 8 of {topic}/0, got 6 to 30"):
        list(KafkaSource(kafka.bootstrap, wanted).chunks([topic]))
    read = list(KafkaSource(kafka.bootstrap).chunks([topic]))
    assert offsets(read, 0) == list(range(6, 30))


@pytest.mark.kafka
def test_a_time_leaves_out_only_what_is_too_old_for_sure(kafka: KafkaCluster, topic: str) -> None:
    late = (topic, 0, 30, START_MS, b"late", b"older than the records before it")
    send(kafka.bootstrap, [late])
    since_ms = START_MS + 20 * HOUR_MS
    read = list(KafkaSource(kafka.bootstrap, Bounds(since_ms=since_ms)).chunks([topic]))
    assert offsets(read, 0) == list(range(20, 31))
    assert offsets(read, 1) == []  # all of it is older
    ahead = KafkaSource(kafka.bootstrap, Bounds(since_ms=since_ms), ahead_max_ms=13 * HOUR_MS)
    read = list(ahead.chunks([topic]))
    assert offsets(read, 0) == list(range(7, 31))
    assert offsets(read, 1) == [7, 8, 9]
    both = Bounds(since_ms=since_ms, until_ms=since_ms + 1, offsets={topic: {0: (3, 25)}})
    assert offsets(list(KafkaSource(kafka.bootstrap, both).chunks([topic])), 0) == [*range(20, 25)]


@pytest.mark.kafka
def test_what_is_missing_is_told(kafka: KafkaCluster, topic: str) -> None:
    remove_before(kafka.bootstrap, topic, 0, 6)

    def told(bounds: Bounds, history_ms: int | None = None) -> list[tuple[object, ...]]:
        source = KafkaSource(kafka.bootstrap, bounds, 0, history_ms, tells_gaps=True)
        gaps = [chunk for chunk in source.chunks([topic]) if isinstance(chunk, Gap)]
        return [(gap.partition, gap.next_offset, gap.until, gap.why) for gap in gaps]

    assert told(Bounds()) == [(0, 0, 6, RETENTION)]
    named = Bounds(offsets={topic: {0: (8, 20)}})
    assert told(named) == [(0, 0, 8, OFFSETS), (0, 20, None, OFFSETS), (1, 0, 10, OFFSETS)]
    since = [(0, 0, 6, SINCE), (1, 0, 0, SINCE)]
    assert told(Bounds(since_ms=START_MS + 8 * HOUR_MS)) == since
    assert told(Bounds(since_ms=START_MS + 3 * HOUR_MS)) == [(0, 0, 6, RETENTION), since[1]]
    assert told(Bounds(), 21 * HOUR_MS) == [(0, 0, 6, HISTORY), (1, 0, 0, HISTORY)]
    assert told(Bounds(since_ms=1), HOUR_MS) == [(0, 0, 6, RETENTION)]
    with pytest.raises(TrainingError, match=r"of the topics that are read, .* got some of \['x'\]"):
        told(Bounds(offsets={"x": {0: (0, 1)}}))


@pytest.mark.kafka
def test_a_missing_topic_is_named_and_not_created(kafka: KafkaCluster, topic: str) -> None:
    with pytest.raises(TrainingError, match=r"missing: \['absent'\]"):
        list(KafkaSource(kafka.bootstrap).chunks([topic, "absent"]))


def test_without_a_broker_the_address_is_named() -> None:
    with pytest.raises(
        TrainingError, match=r"expected a Kafka broker at 127\.0\.0\.1:1, got Kafka"
    ):
        list(KafkaSource("127.0.0.1:1").chunks(["events"]))


def test_bounds_rise() -> None:
    with pytest.raises(TrainingError, match="event time from 0 on and rising, got 2 to 1"):
        Bounds(since_ms=2, until_ms=1)
    with pytest.raises(TrainingError, match=r"offsets of events/3 .* got 5 to 4"):
        Bounds(offsets={"events": {3: (5, 4)}})
    assert Bounds(since_ms=10).older(3, None, 99) == Older(7, 10, "left out by --since")
    assert Bounds(since_ms=10).older(30, 5, 99) == Older(0, 10, "left out by --since")
    assert Bounds().older(30, None, 99) is None


def test_offset_bounds_on_the_command_line() -> None:
    kind = OffsetBound()
    parsed = [
        kind.convert(text, None, None) for text in ("a.b-c/0:10-20", "a.b-c/12:0-0", "x/1:1-2")
    ]
    assert offset_bounds(parsed) == {"a.b-c": {0: (10, 20), 12: (0, 0)}, "x": {1: (1, 2)}}
    assert offset_bounds([]) is None
    for wrong in ("events", "events/0", "events/0:5", "events/x:1-2", "events/0:1-2 ", "a b/0:1-2"):
        with pytest.raises(click.BadParameter, match="such as events/0:1000-2000"):
            kind.convert(wrong, None, None)
