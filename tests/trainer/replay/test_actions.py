"""What was done, found at the events that it is about."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.campaign.file import Campaign
from stream.campaign.funnel_sections import ExplorationSpec, HoldoutSpec
from stream.decisions.reader import DecisionReader
from stream.features.plan import FeaturePlan
from stream.record_order import places
from tests.trainer.replay.shards_harness import all_timelines, learning_from_decisions
from tests.trainer.shop_history import START_MS, Event, chunk_of, chunks, decisions_about, shards_of
from trainer.errors import TrainingError
from trainer.history.source import Bounds
from trainer.replay.actions import ACTION, Actions


def test_a_fault_in_what_only_training_reads_takes_no_event_away(
    campaign: Campaign, plan: FeaturePlan
) -> None:
    """The worker does not look at a strategy: its features have the event, so ours must as well."""
    events = [
        Event(0, "ann", START_MS, strategy={"an": "object"}),
        Event(1, "ann", START_MS + 1, strategy={"an": "object"}),
        Event(1, "ann", START_MS + 2),
        Event(1, "ann", START_MS + 3, strategy="call"),
        Event(1, "ann", START_MS + 4, strategy="nothing"),
    ]
    shards = shards_of(chunks(events), campaign, plan)
    (timeline,) = all_timelines(shards).values()
    assert len(timeline) == 5
    assert timeline.actions.event.tolist() == [1, 2, 3, 4]
    assert timeline.actions.strategy.tolist() == [-1, -1, 1, 2]
    assert not shards.rejects


def test_propensities_of_treatments(plan: FeaturePlan, campaign: Campaign) -> None:
    training = msgspec.structs.replace(
        campaign.training, propensity_property="properties.propensity"
    )
    reads = msgspec.structs.replace(campaign, training=training)
    events = [Event(1, "ann", START_MS, strategy="mail", propensity=p) for p in (0.25, None)]
    (timeline,) = all_timelines(shards_of(chunks(events), reads, plan)).values()
    np.testing.assert_array_equal(timeline.actions.propensity, [0.25, np.nan])
    (timeline,) = all_timelines(shards_of(chunks(events), campaign, plan)).values()
    assert np.isnan(timeline.actions.propensity).all()


def test_decisions_are_found_at_the_events_that_they_name(plan: FeaturePlan) -> None:
    campaign = learning_from_decisions()
    orders = chunk_of(
        "orders", 3, 10, [Event(0, name, START_MS + i).json() for i, name in enumerate("abcab")]
    )
    published = decisions_about(campaign, orders, [0, 1, 3, 4], [0, 2, 1, 0], [0.5, 1.0, 0.125, 1])
    again = decisions_about(campaign, orders, [3, 1], [1, 2], [0.125, 1.0], decided_ms=START_MS)
    records = [chunk_of("decisions", 1, 0, [*published, *again]), orders]
    shards = shards_of(records, campaign, plan)
    assert not shards.rejects
    found = {}
    duplicates = 0
    for timeline in all_timelines(shards).values():
        assert timeline.shard.partition == 3
        duplicates += timeline.actions.duplicates
        for event, strategy, propensity in zip(
            timeline.actions.event.tolist(),
            timeline.actions.strategy.tolist(),
            timeline.actions.propensity.tolist(),
            strict=True,
        ):
            found[int(timeline.offset[event])] = (strategy, propensity)
    assert found == {10: (0, 0.5), 11: (2, 1.0), 13: (1, 0.125), 14: (0, 1.0)}
    assert duplicates == 2


def test_what_had_expired_when_it_was_decided_teaches_nothing(plan: FeaturePlan) -> None:
    campaign = learning_from_decisions()
    orders = chunk_of("orders", 0, 0, [Event(0, "a", START_MS + i).json() for i in range(3)])
    published = decisions_about(campaign, orders, [0, 1, 2], [1, 2, 2], [0.0] * 3)
    hour_ms = 3_600_000  # after which decisions expire
    made_ms = [START_MS + hour_ms - 1, START_MS + 1 + hour_ms, START_MS + 9 * hour_ms]
    shards = shards_of([orders, chunk_of("decisions", 0, 0, published, made_ms)], campaign, plan)
    (timeline,) = all_timelines(shards).values()
    assert timeline.actions.event.tolist() == [0]
    assert shards.rejects == {"decision_expired": 2}


def test_propensities_of_decisions_are_exact_and_hold_outs_are_marked(plan: FeaturePlan) -> None:
    campaign = msgspec.structs.replace(
        learning_from_decisions(),
        exploration=ExplorationSpec(method="epsilon"), holdouts=(HoldoutSpec(id="all", share=0.5),),
    )  # fmt: skip
    orders = chunk_of("orders", 0, 0, [Event(0, "a", START_MS + i).json() for i in range(3)])
    chances = np.array([[1431655766, 1431655765, 1431655765]] * 2 + [[0, 0, 2**32]])
    published = decisions_about(
        campaign, orders, [0, 1, 2], [1, 2, 2], [0.0] * 3, chances=chances, held_out=[0, 0, 1]
    )
    shards = shards_of([orders, chunk_of("decisions", 0, 0, published)], campaign, plan)
    (timeline,) = all_timelines(shards).values()
    third = 1431655765 / 2**32
    assert timeline.actions.propensity.tolist() == [third, third, 1.0]
    assert timeline.actions.strategy.tolist() == [1, 2, 2]
    assert timeline.actions.held_out.tolist() == [False, False, True]


def test_decisions_of_which_something_is_missing(plan: FeaturePlan) -> None:
    campaign = learning_from_decisions()
    orders = chunk_of("orders", 0, 0, [Event(0, "ann", START_MS).json()])
    (good,) = decisions_about(campaign, orders, [0], [0], [0.5])

    def changed(change: Any, **top: Any) -> bytes:
        message = json.loads(good)
        message.update(top)
        message["data"] |= change
        return json.dumps(message).encode()

    place = {"topic": "orders", "partition": 0, "offset": 0, "time": "2023-11-14T22:13:20Z"}
    values = [
        changed({"event": place | {"offset": 7}}, id="1"),  # no such event
        changed({"event": place | {"topic": "gone"}}, id="2"),
        changed({"event": place | {"partition": 9}}, id="3"),
        changed({"action": {"strategy": "fax"}}, id="4"),  # no such strategy
        changed({"action_probability": None}, id="5"),
        changed({"action": {}}),
        changed({"event": place | {"offset": 0.5}}),
        changed({"event": place | {"partition": -1}}),
        changed({}, type="opportune.other"),
        changed({}, subject=""),
        b"no event",
    ]
    shards = shards_of([orders, chunk_of("decisions", 0, 0, values)], campaign, plan)
    assert shards.rejects == {
        "decision_incomplete": 4, "decision_missing_customer": 1, "decision_bad_json": 1,
    }  # fmt: skip
    here, elsewhere = all_timelines(shards).values()
    assert here.actions.event.tolist() == [-1, -1, 0, 0]
    assert here.actions.strategy.tolist() == [0, 0, -1, 0]
    assert np.isnan(here.actions.propensity[-1])
    assert len(elsewhere) == 0
    assert elsewhere.actions.event.tolist() == [-1]


def test_a_decision_is_inside_the_bounds_when_its_event_is(plan: FeaturePlan) -> None:
    campaign = learning_from_decisions()
    orders = chunk_of("orders", 0, 0, [Event(0, "a", START_MS + i).json() for i in range(4)])
    published = decisions_about(campaign, orders, range(4), [0] * 4, [1.0] * 4)
    shards = shards_of(
        [orders, chunk_of("decisions", 0, 0, published)], campaign, plan,
        bounds=Bounds(since_ms=START_MS + 1, until_ms=START_MS + 3),
    )  # fmt: skip
    (timeline,) = all_timelines(shards).values()
    assert timeline.actions.event.tolist() == [0, 1]


def test_a_decision_keeps_the_time_of_its_event_whatever_the_clock_of_who_decided(
    plan: FeaturePlan,
) -> None:
    campaign = learning_from_decisions()
    orders = chunk_of("orders", 0, 0, [Event(0, "a", START_MS).json()])
    (value,) = decisions_about(campaign, orders, [0], [0], [1.0])
    chunk = chunk_of("decisions", 0, 0, [value])
    behind = replace(chunk, timestamp_ms=np.array([START_MS - 3_600_000]))
    decided, rejects = DecisionReader(campaign).read(behind)
    assert (decided.time_ms.tolist(), rejects) == ([START_MS], {})


def test_flat_decisions_cannot_be_learned_from(plan: FeaturePlan) -> None:
    campaign = learning_from_decisions()
    flat = msgspec.structs.replace(
        campaign, decisions=msgspec.structs.replace(campaign.decisions, format="flat")
    )
    with pytest.raises(TrainingError, match=r'decisions.format = "cloudevents".*got "flat"'):
        shards_of([], flat, plan)


@given(
    events=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), unique=True),
    named=st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 9), st.integers(0, 1))),
)
def test_actions_find_their_events(
    events: list[tuple[int, int]], named: list[tuple[int, int, int]]
) -> None:
    # Any interleaving of topics in which offsets rise.
    topics = [topic for topic, _ in events]
    of_topic = {t: iter(sorted(o for topic, o in events if topic == t)) for t in topics}
    timeline = [(t, next(of_topic[t])) for t in topics]
    records = np.zeros(len(named), ACTION)
    for i, (topic, offset, identity) in enumerate(named):
        records[i] = (offset, identity, i, -1, 0, topic, False, 1)
    actions = Actions.of(
        records,
        np.array([t for t, _ in timeline], np.int64),
        places(np.array([o for _, o in timeline], np.int64), np.full(len(timeline), -1)),
        np.arange(len(timeline)),
    )
    once = list(dict.fromkeys(named))
    expected = [timeline.index(at) if (at := (t, o)) in timeline else -1 for t, o, _ in once]
    assert actions.event.tolist() == expected
    assert actions.propensity.tolist() == [named.index(one) for one in once]  # the first counts
    assert actions.duplicates == len(named) - len(once)
