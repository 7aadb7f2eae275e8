"""Gaps: what a history lacks, in event time; no label, and after a warm-up no feature, suffers."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.campaign.file import Campaign, parse
from stream.columns import RecordChunk
from stream.features.plan import compile_features
from tests.trainer.examples.dataset_harness import built, changed, values_of
from tests.trainer.shop_history import (
    CAMPAIGN,
    DAY_MS,
    START_MS,
    TOPICS,
    Event,
    chunk_of,
    chunks,
    decisions_about,
    partition_of,
    shards_of,
    shop,
)
from trainer.errors import TrainingError
from trainer.examples.building import build
from trainer.examples.dataset import Dataset
from trainer.examples.notices import history_notices
from trainer.history.gaps import (
    BEGINNING_MS,
    NEVER_MS,
    NOT_ARCHIVED,
    OFFSETS,
    RETENTION,
    SINCE,
    Gap,
    GapTracker,
    Missing,
    Older,
    cold_ms,
    edges,
    reach_into,
    unread_ms,
)
from trainer.history.source import Bounds


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return shop(30, seed=4)


def facts(gaps: list[Gap]) -> list[tuple[object, ...]]:
    return [(gap.next_offset, gap.until, gap.why, gap.until_ms) for gap in gaps]


@pytest.mark.parametrize(
    ("held", "wanted", "older", "expected"),
    [
        ((0, 9), (0, 9), None, []),
        ((4, 9), (4, 9), None, [(0, 4, RETENTION, None)]),
        ((4, 9), (5, 7), None, [(0, 5, OFFSETS, None), (7, None, OFFSETS, None)]),
        ((4, 9), None, None, [(0, 9, OFFSETS, None)]),
        ((0, 0), None, None, []),
        ((9, 9), (9, 9), None, [(0, 9, RETENTION, None)]),
        ((4, 9), (4, 9), Older(10, 20, SINCE), [(0, 4, SINCE, 20)]),
    ],
)
def test_what_is_missing_around_a_partition(
    held: tuple[int, int],
    wanted: tuple[int, int] | None,
    older: Older | None,
    expected: list[tuple[object, ...]],
) -> None:
    found = list(edges("t", 3, held, wanted, older, RETENTION))
    assert facts(found) == expected
    assert all(len(gap) == 0 and (gap.topic, gap.partition) == ("t", 3) for gap in found)


def test_a_gap_reaches_from_the_event_before_it_to_the_one_after_it() -> None:
    tracker = GapTracker()
    tracker.mark(Gap.of("t", 0, 0, 5, RETENTION))
    tracker.mark(Gap.of("t", 0, 50, None, NOT_ARCHIVED))
    tracker.pass_by("t", 0, np.array([30, 20, 40]))
    tracker.mark(Gap.of("t", 0, 8, 9, RETENTION))
    tracker.mark(Gap.of("t", 1, 0, 9, RETENTION))
    tracker.pass_by("t", 0, np.array([35, 60, 55]))  # late: no gap ends before it begins
    for _ in range(2):
        tracker.leave_out("u", 0, 25, SINCE)
    assert tracker.missing() == [
        Missing("t", 0, 0, 5, RETENTION, BEGINNING_MS, 30),
        Missing("t", 0, 8, 9, RETENTION, 40, 40),
        Missing("t", 0, 50, None, NOT_ARCHIVED, 60, NEVER_MS),
        Missing("t", 1, 0, 9, RETENTION, BEGINNING_MS, NEVER_MS),
        Missing("u", 0, 0, None, SINCE, BEGINNING_MS, 25, chosen=True),
    ]
    assert (tracker.start_ms(0), tracker.start_ms(1)) == (20, NEVER_MS)


def test_which_times_a_gap_makes_doubtful() -> None:
    gaps = [
        Missing("t", 0, 0, 5, RETENTION, BEGINNING_MS, 30),
        Missing("t", 0, 9, 9, RETENTION, 40, NEVER_MS),  # of this topic nothing is left
        Missing("t", 0, 50, None, NOT_ARCHIVED, 60, NEVER_MS),
        Missing("u", 0, 0, None, SINCE, BEGINNING_MS, 25, chosen=True),
    ]
    first, last = [BEGINNING_MS, 30], [40, NEVER_MS]
    assert unread_ms(gaps).tolist() == [first, last, [60, NEVER_MS]]
    cold = [[BEGINNING_MS, 130], [40, 110], [BEGINNING_MS, 125]]
    assert cold_ms(gaps, start_ms=10, warm_up_ms=100).tolist() == cold
    assert unread_ms([]).shape == cold_ms([], 10, 100).shape == (0, 2)


def test_intervals_are_open() -> None:
    intervals = np.array([[10, 20], [30, 31]])
    first, last = np.array([0, 0, 19, 20, 20, 25, 31]), np.array([10, 11, 19, 20, 30, 40, 50])
    found = reach_into(intervals, first, last)
    assert found.tolist() == [False, True, True, False, False, True, False]


def without(
    records: list[RecordChunk], topic: str, partition: int, start: int, until: int | None
) -> list[RecordChunk]:
    """Without some offsets, which are multiples of the 3 records of a chunk, and a gap instead."""
    here = [c for c in records if (c.topic, c.partition) == (topic, partition)]
    others = [c for c in records if (c.topic, c.partition) != (topic, partition)]
    end = here[-1].next_offset if until is None else until
    before = [chunk for chunk in here if chunk.next_offset <= start]
    after = [chunk for chunk in here if chunk.offset[0] >= end]
    return [*others, *before, Gap.of(topic, partition, start, until, "gone"), *after]


def labels(data: Dataset) -> dict[tuple[int, int], bool]:
    return dict(
        zip(
            zip(data.time_ms.tolist(), data.strategy.tolist(), strict=True),
            data.outcome.tolist(),
            strict=True,
        )
    )


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(start=st.integers(0, 6), size=st.integers(1, 6), is_open=st.booleans())
def test_what_was_not_read_makes_no_label_wrong(
    campaign: Campaign, events: list[Event], start: int, size: int, is_open: bool
) -> None:
    alone = changed(campaign, untreated_per_treated=0.0)
    records = chunks(events, partitions=2)
    until = None if is_open else 3 * (start + size)
    cut = without(records, "redemptions", 1, 3 * start, until)
    whole, data = built(alone, records), built(alone, cut)
    truth, found = labels(whole), labels(data)
    assert found.items() <= truth.items()
    behind = data.counts.behind - whole.counts.behind
    assert len(truth) - len(found) == data.counts.unread + behind > 0
    assert whole.counts.unread == 0
    assert data.counts.immature == whole.counts.immature
    assert whole.notices == ()
    if data.counts.unread:
        assert f"{data.counts.unread:,} actions left out" in data.notices[-1]


def test_without_the_word_of_the_source_labels_would_be_wrong(
    campaign: Campaign, events: list[Event]
) -> None:
    records = chunks(events, partitions=2)
    silent = [c for c in without(records, "redemptions", 1, 6, None) if not isinstance(c, Gap)]
    whole, data = built(campaign, records), built(campaign, silent)
    assert data.outcome.sum() < whole.outcome.sum()


def test_a_topic_that_is_read_to_its_end_may_be_quiet(campaign: Campaign) -> None:
    """One redemption of hers, long ago, in her partition: nothing happened since, which is no reason to wait."""
    sent = [Event(1, "ann", START_MS + day * DAY_MS, strategy="mail") for day in (2, 5)]
    past = [
        Event(0, "ann", START_MS), *sent, Event(2, "ann", START_MS + 3 * DAY_MS),
        Event(2, "dee", START_MS + 90 * DAY_MS),
    ]  # fmt: skip
    alone, records = changed(campaign, untreated_per_treated=0.0), chunks(past, partitions=2)
    assert built(alone, records).outcome.tolist() == [True, False]
    bounded = [*records, Gap.of("redemptions", 1, 1, None, OFFSETS)]
    data = built(alone, [Gap.of("sends", 1, 2, None, OFFSETS), *records])  # has no outcomes
    assert data.outcome.tolist() == [True, False]
    with pytest.raises(TrainingError, match=r"2 with outcomes that may not .* redemptions/1 after"):
        built(alone, bounded)


def test_where_contacts_were_not_read_nobody_was_left_alone(
    campaign: Campaign, events: list[Event]
) -> None:
    records = chunks([e for e in events if partition_of(e.customer, 2) == 0], partitions=2)
    whole = changed(campaign, untreated_per_treated=10.0)
    after_ms = max(e.time_ms for e in mine(events, 0, kind=1)[:30])
    assert max(left_alone(built(whole, records))) > after_ms
    found = left_alone(built(whole, without(records, "sends", 0, 30, None)))
    assert len(found) > 100
    assert max(found) <= after_ms


def left_alone(data: Dataset) -> list[int]:
    """When somebody was left alone."""
    times: list[int] = data.time_ms[data.strategy == 2].tolist()
    return times


def mine(events: list[Event], partition: int, kind: int) -> list[Event]:
    return [e for e in events if e.kind == kind and partition_of(e.customer, 2) == partition]


def test_examples_soon_after_a_cut_are_left_out(
    campaign: Campaign, events: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    records = without(chunks(events, partitions=2), "orders", 0, 0, 30)
    cut_ms = mine(events, 0, kind=0)[30].time_ms
    told = built(campaign, records)
    assert told.counts.cold == 0
    (notice,) = told.notices
    assert notice.startswith("The history is cut: orders/0 offsets 0 to 30 gone.")
    assert 'Set training.warm_up = "90d" to leave them out' in notice
    assert notice in caplog.messages

    warm = built(changed(campaign, warm_up="30d"), records)
    assert warm.counts.cold > 0
    assert warm.counts.joined == told.counts.joined - warm.counts.cold
    assert 'actions within training.warm_up = "30d" left out' in warm.notices[0]
    customers = {e.time_ms: partition_of(e.customer, 2) for e in events}
    treated = warm.time_ms[warm.strategy < 2].tolist()
    assert {customers[time] for time in treated} == {0, 1}
    assert min(time for time in treated if customers[time] == 0) > cut_ms + 30 * DAY_MS
    assert min(time for time in treated if customers[time] == 1) < START_MS + 20 * DAY_MS
    # Events are not left out: the features of what is kept are those of the other reading.
    assert {v.tobytes() for v in values_of(warm)} & {v.tobytes() for v in values_of(told)}


def test_a_beginning_that_was_asked_for_is_a_cut_as_well(
    campaign: Campaign, events: list[Event]
) -> None:
    plan = compile_features(campaign)
    since_ms = START_MS + 50 * DAY_MS
    bounds, records = Bounds(since_ms=since_ms), chunks(events, partitions=2)
    for warm_up, first_ms in ((None, since_ms), ("20d", since_ms + 20 * DAY_MS)):
        warm = changed(campaign, warm_up=warm_up)
        shards = shards_of(records, warm, plan, bounds=bounds)
        data = build(warm, plan, shards, Path("/nowhere"), seed=1)
        assert first_ms <= data.time_ms.min() < first_ms + 5 * DAY_MS
        (notice,) = data.notices
        assert "orders/0 before 2024-01-03, orders/1 before 2024-01-03" in notice
        assert "and 3 more left out by --since" in notice
    early = shards_of(records, campaign, plan, bounds=Bounds(since_ms=START_MS))
    assert early.missing() == []
    # A source that leaves out what is too old for sure says so.
    told = Gap.of("orders", 0, 0, 9, SINCE, START_MS)
    shards = shards_of([told, *records], campaign, plan, bounds=Bounds(since_ms=START_MS))
    assert [one.before_ms for one in shards.missing()] == [START_MS]


@pytest.mark.parametrize("order", list(itertools.permutations(TOPICS)))
def test_gaps_mean_the_same_whatever_is_read_first(
    campaign: Campaign, events: list[Event], tmp_path: Path, order: tuple[str, ...]
) -> None:
    records = without(chunks(events, partitions=2), "redemptions", 1, 9, 12)
    records = without(records, "orders", 0, 0, 12)
    records = without(records, "sends", 1, 60, None)
    warm = changed(campaign, warm_up="15d")
    one = built(warm, records)
    records = sorted(records, key=lambda chunk: order.index(chunk.topic))
    other = built(changed(warm, memory_mb=0), records, tmp_path)
    assert one.counts == other.counts
    assert one.notices == other.notices
    assert one.time_ms.tolist() == other.time_ms.tolist()
    assert values_of(one).tobytes() == values_of(other).tobytes()


def test_a_gap_of_the_decision_topic_costs_nothing_else(campaign: Campaign) -> None:
    learns = changed(campaign, learn_from="decisions")
    orders = chunk_of(
        "orders", 0, 0, [Event(0, "ann", START_MS + i * 30 * DAY_MS).json() for i in range(3)]
    )
    published = decisions_about(learns, orders, [1], [0], [1.0])
    gap = Gap.of("decisions", 0, 0, 7, RETENTION)
    data = built(learns, [gap, orders, chunk_of("decisions", 0, 7, published)])
    assert data.counts.joined == 1
    assert data.notices == ()


def test_features_look_back_as_far_as_the_longest_of_them(campaign: Campaign) -> None:
    assert history_notices.memory(campaign) == "90d"
    text = CAMPAIGN.replace('op = "recency"', 'op = "recency"\ncap = "10d"')
    assert history_notices.memory(parse(text)) == "20d"
