"""Logins and tombstones in a history: what the worker would have had, wherever the customers are sharded."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.campaign.file import Campaign, parse
from stream.codecs import event_decoder
from stream.columns import RecordChunk, Spans, split
from stream.events.decoder import NEVER_MS
from stream.features.plan import apply_raw, compile_features
from stream.record_order import NOT_SEEN_MS, event_times, merged, seen
from stream.state.emptied import emptied_rows
from stream.state.table import CustomerTable
from tests.trainer.replay.shards_harness import with_memory
from tests.trainer.shop_history import CAMPAIGN, DAY_MS, START_MS, TOPICS, TYPES
from trainer.history.source import EVERYTHING
from trainer.replay.buckets import by_bucket
from trainer.replay.shards import Shards
from trainer.replay.timeline import replay_blocks


def emptying(**more: object) -> Campaign:
    campaign = parse(CAMPAIGN)
    events = msgspec.structs.replace(
        campaign.events, login="merge", tombstones="forget", repeats_remembered=3
    )
    training = msgspec.structs.replace(campaign.training, **more)
    return msgspec.structs.replace(campaign, events=events, training=training)


MERGING = emptying()
PLAN = compile_features(MERGING)
PEOPLE = ("u-1", "u-2", "a-1", "a-2", "a-3")
Told = tuple[int, int, str, str, int]
"""Topic, day, customer, id before a login ("" for none, "!" for a tombstone), number of the event id."""

told = st.tuples(
    st.integers(0, 1),
    st.integers(0, 20),
    st.sampled_from(PEOPLE),
    st.sampled_from(["", "", "", "!", *PEOPLE]),
    st.integers(0, 9),
)


def value_of(one: Told) -> bytes | None:
    topic, day, customer, previous, number = one
    if previous == "!":
        return None
    kind = "identify" if previous else TYPES[topic]
    return json.dumps({
        "type": "track", "event": kind, "userId": customer, "messageId": f"m-{number}",
        "anonymousId": previous, "timestamp": START_MS + day * DAY_MS,
        "properties": {"revenue": 1.5 * day, "category": customer, "strategy": "mail"},
    }).encode()  # fmt: skip


def chunk_of(topic: int, log: list[Told], partition: int = 0) -> RecordChunk:
    here = [one for one in log if one[0] == topic]
    at_ms = np.array([START_MS + day * DAY_MS for _, day, *_ in here], np.int64)
    return RecordChunk(
        TOPICS[topic], partition, np.arange(len(here)), at_ms,
        Spans.of([one[2].encode() for one in here]), Spans.of([value_of(one) for one in here]),
        len(here),
    )  # fmt: skip


def in_order(chunks: list[RecordChunk]) -> list[RecordChunk]:
    """Single records in the order of the replay."""
    decoder = event_decoder(MERGING, PLAN)
    times = [
        seen(event_times(chunk, decoder.decode(chunk, NEVER_MS).batch), NOT_SEEN_MS)
        for chunk in chunks
    ]
    topic = np.repeat(np.arange(len(chunks)), [len(chunk) for chunk in chunks])
    place = np.concatenate([np.arange(len(chunk)) for chunk in chunks])
    order = merged(topic, np.concatenate(times)).tolist()
    return [
        split(split(chunks[topic[i]], place[i] + 1)[0], int(place[i]))[1] for i in order
    ]  # fmt: skip


class Worker:
    """What a worker makes of a history, record by record, and whose each event is in the end."""

    def __init__(self, chunks: list[RecordChunk]) -> None:
        self.features: dict[tuple[int, int], bytes] = {}
        self.whose: dict[str, set[tuple[int, int]]] = {}
        self.table = CustomerTable(PLAN.row_words)
        for record in in_order(chunks):
            self.take(record)

    def take(self, record: RecordChunk) -> None:
        topic = TOPICS.index(record.topic)
        batch = event_decoder(MERGING, PLAN).decode(record, NEVER_MS).batch
        rows = self.table.rows_for(batch.customer)
        emptied = emptied_rows(batch, rows, self.table)
        out = np.zeros((1, len(PLAN.names)))
        applied = apply_raw(PLAN, self.table.state, rows, batch, topic, out, emptied)
        customer = (batch.customer[0] or b"").decode()
        if batch.forgets is not None:
            for place in self.whose.pop(customer, set()):
                del self.features[place]
        elif applied[0]:
            place = topic, int(record.offset[0])
            self.features[place] = out.tobytes()
            mine = self.whose.setdefault(customer, set())
            if batch.previous is not None:
                mine |= self.whose.pop((batch.previous[0] or b"").decode(), set())
            mine.add(place)


def replayed(
    shards: Shards,
) -> tuple[dict[tuple[int, int], bytes], set[frozenset[tuple[int, int]]]]:
    """Features after each event of all shards, and the events of each person."""
    features: dict[tuple[int, int], bytes] = {}
    people: dict[tuple[object, int], set[tuple[int, int]]] = {}
    for shard in shards.shards():
        timeline = shards.timeline(shard)
        place = list(zip(timeline.topic.tolist(), timeline.offset.tolist(), strict=True))
        for which, values in replay_blocks(PLAN, timeline, np.arange(len(timeline))):
            features |= {place[i]: one.tobytes() for i, one in zip(which, values, strict=True)}
        for person, one in zip(timeline.person.tolist(), place, strict=True):
            people.setdefault((shard, person), set()).add(one)
    return features, {frozenset(of) for of in people.values()}


def shards_of(chunks: list[RecordChunk], folder: Path, campaign: Campaign = MERGING) -> Shards:
    shards = Shards(campaign, PLAN, folder, EVERYTHING)
    for chunk in chunks:
        shards.add(chunk)
    return shards


@given(st.lists(told, max_size=30))
@settings(deadline=None, max_examples=150)
def test_a_replay_gives_the_bits_of_the_worker_and_whose_they_are(
    tmp_path_factory: pytest.TempPathFactory, log: list[Told]
) -> None:
    log = [one for one in log if one[3] != one[2]]
    chunks = [chunk_of(topic, log) for topic in range(2)]
    worker = Worker(chunks)
    for order in (chunks, chunks[::-1]):
        features, people = replayed(shards_of(order, tmp_path_factory.mktemp("shards")))
        assert features == worker.features
        assert people == {frozenset(of) for of in worker.whose.values() if of}


def test_what_is_moved_is_the_same_from_disk(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    log = [
        (0, day, f"{'au'[int(random.integers(2))]}-{random.integers(40)}", "", 100 * day + k)
        for day in range(20)
        for k in range(30)
    ]
    log += [(0, 21, f"u-{k}", f"a-{random.integers(40)}", 9_000 + k) for k in range(40)]
    chunks = [chunk_of(0, log)]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    small = shards_of(chunks, tmp_path / "a", with_memory(MERGING, 0))
    large = shards_of(chunks, tmp_path / "b")
    assert replayed(small) == replayed(large)
    assert list((tmp_path / "a").glob("moved-*"))
    assert replayed(large)[0] == Worker(chunks).features


def buckets_of(*customers: bytes) -> list[int]:
    out = np.empty(len(customers), np.int64)
    for bucket, index in by_bucket(Spans.of(customers)):
        out[index] = bucket
    return out.tolist()


def test_actions_go_with_the_events_that_they_are_about(tmp_path: Path) -> None:
    assert len(set(buckets_of(*(one.encode() for one in PEOPLE)))) == len(PEOPLE)
    log: list[Told] = [
        (1, 0, "a-1", "", 0), (1, 1, "u-1", "", 1), (0, 2, "u-1", "a-1", 2), (1, 3, "u-2", "", 3),
        (0, 4, "u-2", "!", 0),
    ]  # fmt: skip
    shards = shards_of([chunk_of(topic, log) for topic in range(2)], tmp_path)
    timelines = [shards.timeline(shard) for shard in shards.shards()]
    found = [
        (int(one.topic[i]), int(one.offset[i]))
        for one in timelines
        for i in one.actions.event.tolist()
    ]
    assert sorted(found) == [(1, 0), (1, 1)], "that of u-2 is forgotten"
    assert len([one for one in timelines if len(one)]) == 1


def test_a_pair_in_two_partitions_stays_apart(tmp_path: Path) -> None:
    shards = shards_of(
        [
            chunk_of(1, [(1, 0, "a-1", "", 0)], partition=1),
            chunk_of(0, [(0, 2, "u-1", "a-1", 2), (0, 3, "u-1", "", 3)]),
        ],
        tmp_path,
    )
    timelines = [shards.timeline(shard) for shard in shards.shards()]
    assert sorted(len(one) for one in timelines if len(one)) == [1, 2]
