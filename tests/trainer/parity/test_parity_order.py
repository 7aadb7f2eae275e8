"""Parity over several event topics, whose order nobody recorded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.columns import EventBatch, Spans
from stream.state.marker import Stretch
from tests.trainer.parity.parity_harness import (
    HOUR_MS,
    START_MS,
    Worker,
    about,
    causes,
    event,
    two_topics,
)
from trainer.replay.replay_order import Run, in_order


def test_topics_taken_as_they_come_in_are_replayed_exactly(tmp_path: Path) -> None:
    """A minute between the events: their order is known, and so a fault cannot hide behind it."""
    shop, worker = two_topics(tmp_path)
    for i in range(60):
        topic, kind = [("views", 0), ("orders", 1)][i % 3 == 0]
        now_ms = START_MS + 60_000 * i
        one = event(f"c{i % 4}", kind, now_ms, received_ms=now_ms + 10)
        worker.take([one], len(shop.events[topic]), topic, now_ms + 50)
        shop.events[topic].append(one)
    parity = shop.check()
    assert parity.holds
    assert parity.equal == parity.compared == 60
    shop.flip(33)
    assert causes(shop.check()) == {"different": 1}


def test_when_an_event_without_decision_was_taken_is_known_from_below_only(tmp_path: Path) -> None:
    """It came in after the view was decided; who views again afterwards is in doubt."""
    shop, worker = two_topics(tmp_path, on=["View"])
    for i in range(30):
        now_ms = START_MS + 60_000 * i
        view = event(f"c{i % 3}", 0, now_ms, received_ms=now_ms)
        worker.take([view], i, "views", now_ms + 50)
        shop.events["views"].append(view)
        if i in {10, 29}:  # of c1 in the middle, of c2 at its end
            order = event(f"c{i % 3}", 1, now_ms + 20_000, received_ms=now_ms + 20_000)
            worker.take([order], len(shop.events["orders"]), "orders", now_ms + 20_050)
            shop.events["orders"].append(order)
    parity = shop.check()
    assert (parity.compared, parity.equal, parity.faults) == (30, 30, 0)
    for i, cause in ((9, "different"), (10, "order_unknown"), (11, "different")):
        damaged = replace(shop, decisions=list(shop.decisions))
        damaged.flip(i)
        assert causes(damaged.check()) == {cause: 1}


def test_a_repeat_does_not_widen_what_is_known(tmp_path: Path) -> None:
    """Decided again much later, after a restart: the event was taken when it was decided first."""
    shop, worker = two_topics(tmp_path)
    view, order = (
        event("c1", kind, START_MS + 60_000 * kind, received_ms=START_MS + 60_000 * kind)
        for kind in range(2)
    )
    worker.take([view], 0, "views", START_MS + 50)
    worker.take([order], 0, "orders", START_MS + 60_050)
    again = Worker(worker.campaign, worker.bundle)
    again.take([view], 0, "views", START_MS + 600_000)
    shop.events = {"views": [view], "orders": [order]}
    shop.decisions += again.decisions
    assert shop.check().holds
    shop.flip(1)
    assert causes(shop.check()) == {"different": 1}


def test_an_order_that_nobody_recorded_explains_those_it_touches(tmp_path: Path) -> None:
    """The worker catches up, topic after topic; one customer is in both."""
    shop, worker = two_topics(tmp_path)
    at = [START_MS + HOUR_MS * i for i in range(20)]
    for i in range(20):
        shop.events["views"].append(event("both" if i % 2 else "viewer", 0, at[i]))
        shop.events["orders"].append(event("both" if i % 3 else "buyer", 1, at[i] + 1000))
    later_ms = at[-1] + HOUR_MS
    worker.take(shop.events["orders"], 0, "orders", later_ms)
    worker.take(shop.events["views"], 0, "views", later_ms + 200)
    parity = shop.check()
    assert parity.holds
    assert parity.compared == 40
    found = causes(parity)
    assert set(found) == {"order_unknown"}
    assert found["order_unknown"] >= 10
    assert parity.findings[0].first.customer == "both"
    alone = next(i for i in range(40) if about(shop, i).customer == "viewer")
    shop.flip(alone)
    assert causes(shop.check()) == found | {"different": 1}


def test_what_was_caught_up_with_excuses_nothing(tmp_path: Path) -> None:
    """Taken orders first: of one stretch that is a fault, of two nobody knows what lay between them."""
    shop, worker = two_topics(tmp_path)
    for i in range(20):
        at_ms = START_MS + 60_000 * i
        for topic, kind, later_ms in (("views", 0, 0), ("orders", 1, 5_000)):
            shop.events[topic].append(
                event("ann", kind, at_ms + later_ms, received_ms=at_ms + later_ms)
            )
    later_ms = START_MS + HOUR_MS
    worker.take(shop.events["orders"], 0, "orders", later_ms)
    worker.take(shop.events["views"], 0, "views", later_ms + 200)
    assert set(causes(shop.check())) == {"order_unknown"}
    starts = [dict.fromkeys(shop.events, offset) for offset in (0, 10, 20)]
    whole, first, second = (Stretch(starts[a], starts[b]) for a, b in ((0, 2), (0, 1), (1, 2)))
    shop.caught_up = [whole]
    assert set(causes(shop.check())) == {"different"}
    for stretches in ([first, second], [first], [second]):
        shop.caught_up = stretches
        assert set(causes(shop.check())) == {"order_unknown"}


def test_what_was_caught_up_with_in_order_is_replayed_exactly(tmp_path: Path) -> None:
    """Also where no time of day tells: everything was decided at once."""
    shop, worker = two_topics(tmp_path)
    for i in range(20):
        at_ms = START_MS + 60_000 * i
        for topic, kind, later_ms in (("views", 0, 0), ("orders", 1, 5_000)):
            one = event("ann", kind, at_ms + later_ms, received_ms=at_ms + later_ms)
            worker.take([one], i, topic, START_MS + HOUR_MS)
            shop.events[topic].append(one)
    ends = dict.fromkeys(shop.events, 20)
    for caught_up, cause in (([], "order_unknown"), ([Stretch({}, ends)], "different")):
        damaged = replace(shop, decisions=list(shop.decisions), caught_up=caught_up)
        assert damaged.check().equal == 40
        damaged.flip(30)
        assert causes(damaged.check()) == {cause: 1}


@given(st.lists(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 3)), max_size=12), min_size=2,
                max_size=4), st.randoms())  # fmt: skip
@settings(deadline=None, max_examples=150)
def test_the_order_is_that_of_the_newest_time_seen(
    topics: list[list[tuple[int, int]]], random: Any
) -> None:
    """Against a sort of everything at once; what counts is the order of each customer."""
    expected = []
    for t, events in enumerate(topics):
        seen = -1
        for offset, (time_ms, customer) in enumerate(events):
            seen = max(seen, time_ms)
            expected.append((seen, t, offset, customer))
    got = []
    for run in in_order([cut(t, events, random) for t, events in enumerate(topics)]):
        got += [(run.topic, int(o), int(c)) for o, c in zip(run.batch.offset, run.row, strict=True)]
    for customer in range(4):
        assert [one for one in got if one[2] == customer] == [
            one[1:] for one in sorted(expected) if one[3] == customer
        ]
    assert len(got) == len(expected)


def cut(topic: int, events: list[tuple[int, int]], random: Any) -> Any:
    """The events as runs of any length, some empty."""
    at = 0
    while at < len(events):
        end = at + random.randrange(4)
        part = np.array(events[at:end], np.int64).reshape(-1, 2)
        n = len(part)
        nulls = Spans(np.empty(0, np.uint8), np.zeros(n, np.int64), np.full(n, -1, np.int64))
        batch = EventBatch(
            record=np.arange(n), offset=np.arange(at, at + n), received_ms=part[:, 0],
            time_ms=part[:, 0], customer=nulls, event_id=nulls, event_hash=np.zeros(n, np.uint64), type_code=np.zeros(n, np.int16),
            number=np.zeros((1, n)), category=np.zeros((0, n), np.uint64),
            consent=np.zeros((1, n), np.int8), consent_only=np.zeros(n, np.bool_), element=np.full(n, -1, np.int32),
            is_last=np.ones(n, np.bool_),
        )  # fmt: skip
        seen_ms = np.maximum.accumulate([time_ms for time_ms, _ in events[:end]] or [0])[at:]
        yield Run(topic, part[:, 1], batch, seen_ms)
        at = end
