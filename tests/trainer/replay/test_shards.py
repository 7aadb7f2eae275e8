"""Shards: every record in one place, wherever it is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from aiokafka.partitioner import murmur2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream.campaign.file import Campaign
from stream.columns import RecordChunk, Spans
from stream.features.plan import FeaturePlan
from tests.trainer.replay.shards_harness import all_timelines, told, with_memory
from tests.trainer.shop_history import (
    DAY_MS,
    START_MS,
    TOPICS,
    Event,
    chunk_of,
    chunks,
    histories,
    partition_of,
    shards_of,
)
from trainer.errors import TrainingError
from trainer.examples.notices import history_notices
from trainer.history.source import Bounds
from trainer.replay.buckets import BUCKETS
from trainer.replay.spill import Shard, Spill


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=histories(late=True), partitions=st.integers(1, 3), data=st.data())
def test_every_event_is_in_one_shard_wherever_it_is_kept(
    campaign: Campaign,
    plan: FeaturePlan,
    tmp_path_factory: pytest.TempPathFactory,
    events: list[Event],
    partitions: int,
    data: st.DataObject,
) -> None:
    records = chunks(events, partitions)
    in_memory = all_timelines(shards_of(records, campaign, plan))
    # On disk, and with the topics coming in another order.
    order = data.draw(st.permutations(TOPICS))
    records = sorted(records, key=lambda chunk: order.index(chunk.topic))
    folder = tmp_path_factory.mktemp("shards")
    spilled = shards_of(records, with_memory(campaign, 0), plan, folder)
    on_disk = all_timelines(spilled)

    assert len(list(folder.iterdir())) >= len(on_disk)
    assert spilled._records.memory_bytes == spilled._actions.memory_bytes == 0
    assert in_memory.keys() == on_disk.keys()
    assert all(0 <= shard.bucket < BUCKETS for shard in on_disk)
    found = []
    home: dict[bytes, Shard] = {}
    for shard, timeline in in_memory.items():
        assert told(timeline) == told(on_disk[shard])
        assert timeline.shard == shard
        assert set(timeline.row.tolist()) == set(range(timeline.table.rows))
        for topic, offset, time_ms, _, customer, revenue, *_ in told(timeline):
            assert isinstance(customer, bytes)
            found.append((topic, shard.partition, offset, time_ms, customer, revenue))
            assert home.setdefault(customer, shard) == shard
    expected = []
    seen: Counter[tuple[int, int]] = Counter()
    for event in events:
        partition = partition_of(event.customer, partitions)
        offset = seen[event.kind, partition]
        seen[event.kind, partition] += 1
        customer = event.customer.encode()
        expected.append((event.kind, partition, offset, event.time_ms, customer, event.revenue))
    assert sorted(found) == sorted(expected)
    assert spilled.events == len(events)
    assert spilled.customers == len({event.customer for event in events})
    assert spilled.start_ms == min(event.time_ms for event in events)
    assert spilled.end_ms == max(event.time_ms for event in events)


@pytest.mark.parametrize(
    ("came_in", "reached"), [(START_MS + 10, START_MS + 10), (-1, START_MS + 3_600_000)]
)
def test_an_event_from_the_future_does_not_make_the_history_longer(
    campaign: Campaign, plan: FeaturePlan, came_in: int, reached: int
) -> None:
    early, future = Event(0, "ann", START_MS), Event(0, "ann", START_MS + 3_600_000)
    (chunk,) = chunks([early, future])
    stamped = replace(chunk, timestamp_ms=np.full(2, came_in))
    shards = shards_of([stamped], campaign, plan)
    assert (shards.events, shards.rejects) == (2, Counter())
    assert shards.end_ms == reached


def test_part_of_a_shard_may_be_on_disk(
    campaign: Campaign, plan: FeaturePlan, tmp_path: Path
) -> None:
    events = [
        Event(0, f"customer {i % 50}", START_MS + i, revenue=float(i % 7)) for i in range(27_500)
    ]
    records = chunks(events, size=500)
    small, large = with_memory(campaign, 1), with_memory(campaign, 100)
    spilled, kept = shards_of(records, small, plan, tmp_path), shards_of(records, large, plan)
    assert 0 < spilled._records.memory_bytes < kept._records.memory_bytes  # both hold some
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) > 0
    there, here = all_timelines(spilled), all_timelines(kept)
    assert len(here) > BUCKETS / 2
    assert all(told(there[shard]) == told(here[shard]) for shard in here)


@given(since=st.integers(-1, 6), until=st.integers(-1, 6))
def test_bounds_are_exact_in_event_time(
    campaign: Campaign, plan: FeaturePlan, since: int, until: int
) -> None:
    events = [
        Event(kind, "ann", START_MS + day * DAY_MS, strategy="mail")
        for day in range(5)
        for kind in range(2)
    ]
    day_ms = [START_MS + day * DAY_MS for day in (since, max(since, until))]
    bounds = Bounds(since_ms=day_ms[0], until_ms=day_ms[1])
    shards = shards_of(chunks(events), campaign, plan, bounds=bounds)
    timelines = all_timelines(shards).values()
    expected = [event.time_ms for event in events if day_ms[0] <= event.time_ms < day_ms[1]]
    assert [time for one in timelines for time in one.time_ms.tolist()] == expected
    assert sum(len(one.actions) for one in timelines) == len(expected) / 2
    assert shards.customers == (len(expected) > 0)


def test_records_that_are_no_events_are_counted(campaign: Campaign, plan: FeaturePlan) -> None:
    values = [b"no event", Event(0, "ann", START_MS).json(), b"{}", b'{"userId":"ann"}', b"[]"]
    shards = shards_of([chunk_of("orders", 0, 0, values)], campaign, plan)
    assert shards.rejects == {
        "bad_json": 1, "missing_customer": 1, "missing_type": 1, "not_object": 1,
    }  # fmt: skip
    (timeline,) = all_timelines(shards).values()
    assert timeline.offset.tolist() == [1]


def test_chunks_out_of_order_or_of_other_topics_are_refused(
    campaign: Campaign, plan: FeaturePlan
) -> None:
    first, second = chunks([Event(0, "ann", START_MS + i) for i in range(4)])
    shards = shards_of([first, second], campaign, plan)
    with pytest.raises(ValueError, match="orders/0 from offset 4 on, got a chunk from 0"):
        shards.add(first)
    with pytest.raises(ValueError, match="got a chunk from 3"):
        shards.add(chunk_of("orders", 0, 3, [b"{}"]))
    for topic in ("decisions", "other"):
        with pytest.raises(ValueError, match=f"got {topic}"):
            shards.add(chunk_of(topic, 0, 0, [b"{}"]))
    shards.add(chunk_of("orders", 1, 0, []))


def test_a_full_disk_is_named(campaign: Campaign, plan: FeaturePlan, tmp_path: Path) -> None:
    records = chunks([Event(0, "ann", START_MS)])
    with pytest.raises(TrainingError, match=r"expected to keep the history on disk.*memory_mb"):
        shards_of(records, with_memory(campaign, 0), plan, tmp_path / "absent")
    shards_of(records, with_memory(campaign, 0), plan, tmp_path)
    with pytest.raises(TrainingError, match="File exists"):  # never a mixture of two histories
        shards_of(records, with_memory(campaign, 0), plan, tmp_path)


def test_a_spill_keeps_order_across_flushes(tmp_path: Path) -> None:
    dtype = np.dtype([("a", "<i8"), ("b", "<f8", (0,)), ("c", "i1")])
    spill = Spill(tmp_path, "test", dtype)
    added: dict[Shard, list[int]] = {Shard(0, 1): [], Shard(2, 0): []}
    for i in range(30):
        for shard, here in added.items():
            records = np.zeros(i % 3, dtype)
            records["a"] = i
            here.extend([i] * len(records))
            spill.add(shard, records)
        if i % 7 == 6:
            spill.flush()
            assert spill.memory_bytes == 0
    assert spill.shards() == set(added)
    assert spill.memory_bytes == 2 * 9 * sum(i % 3 for i in (28, 29))
    for shard, here in added.items():
        assert spill.load(shard)["a"].tolist() == here
    assert len(spill.load(Shard(9, 9))) == 0


def keyed(topic: str, customers: int, partition: Callable[[bytes], int]) -> list[RecordChunk]:
    """An event of each customer, in the partition that its key is given."""
    made: dict[int, list[bytes]] = {}
    for i in range(customers):
        made.setdefault(partition(b"c%d" % i), []).append(b"c%d" % i)
    kind = TOPICS.index(topic)
    return [
        replace(
            chunk_of(
                topic, number, 0, [Event(kind, key.decode(), START_MS).json() for key in keys]
            ),
            key=Spans.of(list(keys)),
        )
        for number, keys in sorted(made.items())
    ]


def test_customers_in_several_partitions_are_counted_once_and_told(
    campaign: Campaign, plan: FeaturePlan
) -> None:
    """Orders keyed as Java does, mails as librdkafka does: half of the customers are in two places."""

    def java(key: bytes) -> int:
        return int(murmur2(key) & 0x7FFFFFFF) % 2

    def librdkafka(key: bytes) -> int:
        return crc32(key) % 2

    apart = sum(java(b"c%d" % i) != librdkafka(b"c%d" % i) for i in range(200))
    records = [*keyed(TOPICS[0], 200, java), *keyed(TOPICS[1], 200, librdkafka)]
    shards = shards_of(records, campaign, plan)
    assert shards.spread == (200, apart)
    assert shards.customers == 200
    told = history_notices.scattered(shards.spread, shards.misplaced)
    assert told.startswith(f"At least {apart} customers of 200 are in two partitions or more")
    assert f"got {TOPICS[0]} by murmur2, {TOPICS[1]} by crc32" in told

    same = shards_of([*keyed(TOPICS[0], 200, java), *keyed(TOPICS[1], 200, java)], campaign, plan)
    assert same.spread == (200, 0)
    assert history_notices.scattered(same.spread, same.misplaced) == ""


def test_a_partition_without_events_does_not_make_partitioners_unknown(
    campaign: Campaign, plan: FeaturePlan
) -> None:
    """The last of 64 partitions may be empty: then nobody knows that there are so many."""
    records = keyed(TOPICS[0], 60, lambda key: crc32(key) % 64 % 60)
    assert shards_of(records, campaign, plan).misplaced == ""
