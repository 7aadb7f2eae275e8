"""Replay: the order of the stream, and the bits that the worker would have had in it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.contract import Normalization
from stream.campaign.file import Campaign
from stream.columns import EventBatch, Spans
from stream.features.plan import FeaturePlan, apply
from stream.record_order import passes
from tests.trainer.shop_history import DAY_MS, START_MS, Event, histories, timelines_of
from trainer.replay.replay_order import Run, in_order
from trainer.replay.timeline import Timeline, replay_blocks

ONE_SHARD = 1
"""Customers of a history that is one shard."""


# What the worker does: one event after the other, each with the topic it came from.
def one_by_one(plan: FeaturePlan, timeline: Timeline) -> np.ndarray:
    state = np.zeros((timeline.table.rows, plan.row_words))
    reads_all = replace(plan, raw_columns=np.arange(len(plan.names)))
    identity = Normalization.identity(len(plan.names))
    out = [np.empty((0, len(plan.names)))]
    for i in range(len(timeline)):
        index = np.array([i])
        rows, batch = timeline.row[index], timeline.batch(index)
        out.append(apply(reads_all, state, rows, batch, int(timeline.topic[i]), identity).raw)
    return np.concatenate(out)


def replay(plan: FeaturePlan, timeline: Timeline, wanted: np.ndarray) -> np.ndarray:
    """All blocks at once, in the order of `wanted`."""
    out = np.empty((len(wanted), len(plan.names)))
    for which, values in replay_blocks(plan, timeline, wanted):
        out[which] = values
    return out


@given(events=histories(late=True), seed=st.integers(0, 9))
def test_replay_gives_the_bits_of_the_worker(
    campaign: Campaign, plan: FeaturePlan, events: list[Event], seed: int
) -> None:
    for timeline in timelines_of(events, campaign, plan):
        wanted = np.random.default_rng(seed).permutation(len(timeline))
        expected = one_by_one(plan, timeline)
        assert replay(plan, timeline, wanted).tobytes() == expected[wanted].tobytes()
        few = wanted[: len(wanted) // 3]
        assert replay(plan, timeline, few).tobytes() == expected[few].tobytes()


def test_replay_of_many_events_comes_in_blocks(campaign: Campaign, plan: FeaturePlan) -> None:
    random = np.random.default_rng(2)
    events = [
        Event(int(kind), "ann", START_MS + 1000 * i, strategy="mail")
        for i, kind in enumerate(random.choice(3, 5000, p=[0.99, 0.005, 0.005]))
    ]
    (timeline,) = timelines_of(events, campaign, plan)
    wanted = random.permutation(len(timeline))[:4000]
    blocks = list(replay_blocks(plan, timeline, wanted))
    assert len(blocks) > 2
    assert sorted(np.concatenate([which for which, _ in blocks])) == list(range(4000))
    values = replay(plan, timeline, wanted)
    assert values.tobytes() == one_by_one(plan, timeline)[wanted].tobytes()
    assert all((values[which] == block).all() for which, block in blocks)


def test_replay_of_nothing_is_nothing(campaign: Campaign, plan: FeaturePlan) -> None:
    (timeline,) = timelines_of([Event(0, "ann", START_MS)], campaign, plan)
    assert replay(plan, timeline, np.empty(0, np.int64)).shape == (0, len(plan.names))


@given(events=histories(late=True, customers=ONE_SHARD))
def test_a_timeline_merges_topics_by_time_and_keeps_each_in_its_order(
    campaign: Campaign, plan: FeaturePlan, events: list[Event]
) -> None:
    (timeline,) = timelines_of(events, campaign, plan)
    got = list(zip(timeline.topic.tolist(), timeline.offset.tolist(), strict=True))
    topics = [[event for event in events if event.kind == kind] for kind in range(3)]
    expected = sorted(
        (max(event.time_ms for event in topic[: offset + 1]), kind, offset)
        for kind, topic in enumerate(topics)
        for offset in range(len(topic))
    )
    assert got == [(kind, offset) for _, kind, offset in expected]
    # An event that were not in the order of its topic would count as replayed, and be left out.
    orders = replay(plan, timeline, np.arange(len(timeline)))[:, plan.names.index("revenue_last")]
    assert np.isfinite(orders[timeline.topic == 0]).all()


@given(events=histories(late=True, customers=2), cut=st.integers(0, 39))
def test_what_comes_after_an_event_changes_nothing_in_its_features(
    campaign: Campaign, plan: FeaturePlan, events: list[Event], cut: int
) -> None:
    for timeline in timelines_of(events, campaign, plan):
        last = min(cut, len(timeline) - 1)
        after = np.arange(len(timeline)) > last
        poisoned = replace(
            timeline,
            number=np.where(after, 1e6, timeline.number),
            category=np.where(after, np.uint64(7), timeline.category),
            time_ms=np.where(after, START_MS + 900 * DAY_MS, timeline.time_ms),
        )
        wanted = np.arange(last + 1)
        features = replay(plan, timeline, wanted).tobytes()
        assert replay(plan, poisoned, wanted).tobytes() == features
        assert replay(plan, without(timeline, after), wanted).tobytes() == features


def without(timeline: Timeline, gone: np.ndarray) -> Timeline:
    keep = ~gone
    return replace(
        timeline,
        number=timeline.number[:, keep],
        category=timeline.category[:, keep],
        **{
            name: getattr(timeline, name)[keep]
            for name in ("topic", "row", "offset", "time_ms", "type_code")
        },
    )


@given(pairs=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), max_size=60))
def test_passes_keep_the_order_of_every_customer(pairs: list[tuple[int, int]]) -> None:
    row = np.array([pair[0] for pair in pairs], np.int64)
    topic = np.array([pair[1] for pair in pairs], np.int64)
    runs = list(passes(row, topic))
    assert all((topic[run] == of).all() for of, run in runs)
    order = [int(i) for _, run in runs for i in run]
    assert sorted(order) == list(range(len(pairs)))
    for customer in set(row.tolist()):
        theirs = [i for i in order if row[i] == customer]
        assert theirs == sorted(theirs)
    switches = [
        1 + sum(a != b for a, b in pairwise(theirs))
        for customer in set(row.tolist())
        if (theirs := topic[row == customer].tolist())
    ]
    assert len(runs) <= 3 * max(switches, default=0)
    if len(set(topic.tolist())) == 1:
        assert len(runs) == 1


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_topics_read_as_needed_come_by_time_and_at_one_time_as_in_the_campaign(chunk: int) -> None:
    """Of one customer, so that every place counts; a late event keeps its place in its topic."""
    times_ms = ([10, 20, 15, 30], [10, 20, 20, 40], [20])
    streams = [
        iter([run_of(t, times[at : at + chunk], at) for at in range(0, len(times), chunk)])
        for t, times in enumerate(times_ms)
    ]
    got = [(run.topic, offset) for run in in_order(streams) for offset in run.batch.offset.tolist()]
    assert got == [
        (0, 0), (1, 0),
        (0, 1), (0, 2), (1, 1), (1, 2), (2, 0),
        (0, 3), (1, 3),
    ]  # fmt: skip


def run_of(topic: int, times_ms: list[int], first: int) -> Run:
    """Events of customer 0 at consecutive offsets."""
    n, at = len(times_ms), np.array(times_ms, np.int64)
    nulls = Spans(np.empty(0, np.uint8), np.zeros(n, np.int64), np.full(n, -1, np.int64))
    batch = EventBatch(
        record=np.arange(n), offset=first + np.arange(n), received_ms=at, time_ms=at, customer=nulls,
        event_id=nulls, event_hash=np.zeros(n, np.uint64), type_code=np.zeros(n, np.int16), number=np.zeros((0, n)),
        category=np.zeros((0, n), np.uint64), consent=np.zeros((1, n), np.int8),
        consent_only=np.zeros(n, np.bool_), element=np.full(n, -1, np.int32),
        is_last=np.ones(n, np.bool_),
    )  # fmt: skip
    return Run(topic, np.zeros(n, np.int64), batch, np.maximum.accumulate(at))
