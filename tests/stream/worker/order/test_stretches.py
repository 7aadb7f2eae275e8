"""What was there when a partition began is taken in the order of event times, whatever happens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.columns import RecordChunk, Spans
from stream.record_order import NOT_SEEN_MS, merged, seen
from stream.state.marker import Stretch
from stream.worker.order import replay as replay_module
from stream.worker.order.replay import HELD_RECORDS_MAX, Replay, Turn
from stream.worker.order.steps import Run, Step

TOPICS = ("mails", "orders", "visits")
Times = Mapping[str, Sequence[int]]
"""Record timestamps by topic; the offset of a record is three times its place."""
APART = 3


@pytest.fixture(autouse=True)
def _small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_module, "WINDOW_RECORDS", 5)


def head_merge(times: Times, ends: Mapping[str, int]) -> list[tuple[str, int]]:
    """Record at a time, the topic whose next record is oldest; what Kafka Streams does."""
    at = dict.fromkeys(times, 0)
    order = []
    while heads := [t for t in times if at[t] < len(times[t]) and at[t] * APART < ends[t]]:
        topic = min(heads, key=lambda t: times[t][at[t]])
        order.append((topic, at[topic] * APART))
        at[topic] += 1
    return order


def chunk(times: Times, topic: str, first: int, end: int) -> RecordChunk:
    """The records from offset `first` on and before `end`, and nothing else up to `end`."""
    at = [i for i in range(len(times[topic])) if first <= i * APART < end]
    offset = np.array(at, np.int64) * APART
    none = Spans(np.zeros(0, np.uint8), offset * 0, offset * 0)
    stamps = np.array([times[topic][i] for i in at], np.int64)
    return RecordChunk(topic, 0, offset, stamps, none, none, end)


class Life:
    """A worker's part in it: what it takes, until it is killed.

    Args:
        times: The topics.
        steps: What was announced.
        position: Where it begins.
        reached_ms: The newest timestamps before that.
    """

    def __init__(
        self, times: Times, steps: Sequence[Step], position: Mapping[str, int],
        reached_ms: Mapping[str, int] | None = None,
    ) -> None:  # fmt: skip
        self.times = times
        self.ends = {topic: len(times[topic]) * APART for topic in times}
        self.position = dict(position)
        self.offered = dict(position)
        self.taken: list[tuple[str, int]] = []
        self.turns: list[Turn] = []
        self.replay = Replay(steps, self.ends, position, reached_ms, list(times))

    def live(self, rng: Random, turns_max: int) -> None:
        while pending := [t for t in self.times if self.offered[t] < self.ends[t]]:
            topic = rng.choice(pending)
            end = min(self.ends[topic], self.offered[topic] + rng.randint(1, 12))
            one = chunk(self.times, topic, self.offered[topic], end)
            self.replay.offer(one, f"{topic}{end}", one.timestamp_ms)
            self.offered[topic] = end
            for turn in self.replay.turns():
                self.take(turn)
                if len(self.turns) == turns_max:
                    return

    def take(self, turn: Turn) -> None:
        self.turns.append(turn)
        topics, offsets, seen_ms = [], list[int](), list[int]()
        for i, part in enumerate(turn.chunks):
            assert not len(part) or part.offset[0] >= self.position[part.topic]
            self.position[part.topic] = part.next_offset
            topics += [list(self.times).index(part.topic)] * len(part)
            offsets += part.offset.tolist()
            seen_ms += turn.seen_ms[i].tolist() if turn.seen_ms else [0] * len(part)
        order = merged(np.array(topics, np.int64), np.array(seen_ms, np.int64))
        self.taken += [(list(self.times)[topics[i]], offsets[i]) for i in order]


stamps = st.lists(st.integers(-1, 9), max_size=25)
three_topics = st.tuples(stamps, stamps, stamps).map(
    lambda all_: dict(zip(TOPICS, all_, strict=True))
)


def all_of(times: Times) -> Stretch:
    return Stretch(dict.fromkeys(times, 0), {t: len(times[t]) * APART for t in times})


def held(replay: Replay, one: RecordChunk, message: str) -> None:
    replay.offer(one, message, one.timestamp_ms)


@given(three_topics, st.integers(0, 10_000))
@settings(deadline=None, max_examples=300)
def test_windows_are_a_merge_record_by_record(times: Times, seed: int) -> None:
    life = Life(times, [all_of(times)], dict.fromkeys(TOPICS, 0))
    life.live(Random(seed), 10_000)
    assert life.taken == head_merge(times, life.ends)
    assert not list(life.replay.turns())
    assert life.replay.done
    assert life.position == life.ends


@given(three_topics)
@settings(deadline=None, max_examples=100)
def test_a_sort_by_the_newest_time_seen_is_a_merge_record_by_record(times: Times) -> None:
    topic = np.repeat(np.arange(3), [len(times[t]) for t in TOPICS])
    seen_ms = [seen(np.array(times[t], np.int64), NOT_SEEN_MS) for t in TOPICS]
    offset = np.concatenate([np.arange(len(times[t])) * APART for t in TOPICS])
    order = merged(topic, np.concatenate(seen_ms))
    got = [(TOPICS[topic[i]], int(offset[i])) for i in order]
    assert got == head_merge(times, all_of(times).end)


@given(three_topics, st.integers(0, 10_000), st.booleans())
@settings(deadline=None, max_examples=300)
def test_killed_at_any_point_it_is_gone_on_with_in_the_same_order(
    times: Times,
    seed: int,
    remembers: bool,
) -> None:
    """Each life ends after a few turns and the next begins at its checkpoint, or somewhat before."""
    rng = Random(seed)
    first = {t: rng.randint(0, len(times[t])) * APART for t in TOPICS}
    steps: list[Step] = [all_of(times)]
    if remembers:  # as the marker does; one merge alone does not need it
        steps.insert(0, Stretch(dict.fromkeys(TOPICS, 0), first))
    whole = Life(times, steps, dict.fromkeys(TOPICS, 0))
    whole.live(Random(seed), 10_000)
    position, taken, reached_ms = dict.fromkeys(TOPICS, 0), list[tuple[str, int]](), None
    while position != whole.ends:
        life = Life(times, steps, position, reached_ms)
        life.live(rng, rng.randint(1, 5))
        assert life.taken == whole.taken[len(taken) :][: len(life.taken)]
        again = rng.random() < 0.3 and position != dict.fromkeys(TOPICS, 0)
        if not again:
            position, taken = life.position, taken + life.taken
        if remembers:
            reached_ms = {
                t: max((times[t][o // APART] for one, o in taken if one == t), default=-1)
                for t in TOPICS
            }
    assert taken == whole.taken


def test_at_one_time_topics_come_in_the_order_of_the_campaign() -> None:
    times = {"orders": [5, 5, 7], "mails": [5, 6]}
    life = Life(times, [all_of(times)], dict.fromkeys(times, 0))
    life.live(Random(0), 100)
    assert life.taken == [
        ("orders", 0), ("orders", 3), ("mails", 0), ("mails", 3), ("orders", 6),
    ]  # fmt: skip


def test_a_late_record_holds_up_its_topic_and_no_other() -> None:
    times = {"orders": [9, 1], "mails": [2, 3]}
    life = Life(times, [all_of(times)], dict.fromkeys(times, 0))
    life.live(Random(0), 100)
    assert [topic for topic, _ in life.taken] == ["mails", "mails", "orders", "orders"]


def test_what_an_earlier_record_reached_still_counts_after_a_restart() -> None:
    """So that the order is the one of the trainer, which reads the topic from its beginning."""
    times = {"orders": [50, 1], "mails": [2, 3]}
    steps: list[Step] = [Stretch({"orders": 3, "mails": 0}, {"orders": 6, "mails": 6})]
    for reached_ms, expected in (({"orders": 50}, "mails"), ({}, "orders")):
        life = Life(times, steps, {"orders": 3, "mails": 0}, reached_ms)
        life.live(Random(1), 100)
        assert life.taken[0][0] == expected


def test_a_topic_that_ends_in_control_records_or_was_emptied_is_not_waited_for() -> None:
    times = {"orders": [1, 4], "mails": [2] * 4}
    replay = Replay([all_of(times)], {"orders": 6, "mails": 12}, {}, {}, list(times))
    held(replay, chunk(times, "orders", 0, 6), "o")
    assert list(replay.turns()) == []
    assert replay.awaited == ["mails"]
    replay.skip("mails", 9)  # retention
    assert list(replay.turns()) == []
    held(replay, chunk({**times, "mails": []}, "mails", 9, 12), "m")  # control records
    assert [len(c) for turn in replay.turns() for c in turn.chunks] == [2, 0]
    assert replay.done


def test_what_retention_removes_behind_what_waits_is_not_waited_for() -> None:
    times = {"orders": [1, 4], "mails": [2] * 4}
    replay = Replay([all_of(times)], {"orders": 6, "mails": 12}, {}, {}, list(times))
    held(replay, chunk(times, "mails", 0, 3), "m")
    replay.skip("mails", 12)
    assert list(replay.turns()) == []
    held(replay, chunk(times, "orders", 0, 6), "o")
    parts = [part for turn in replay.turns() for part in turn.chunks]
    assert {part.topic: part.next_offset for part in parts} == {"orders": 6, "mails": 12}
    assert replay.done


def test_a_topic_far_ahead_is_full_until_the_others_have_come_up() -> None:
    n = HELD_RECORDS_MAX
    times = {"orders": [5] * n, "mails": [1] * 3 + [9]}
    replay = Replay([all_of(times)], {t: len(times[t]) * APART for t in times}, {}, {}, list(times))
    assert replay.has_room("orders")
    held(replay, chunk(times, "orders", 0, n * APART), "o")
    assert list(replay.turns()) == []
    assert replay.is_full("orders")
    assert not replay.has_room("orders")
    assert not replay.is_full("mails")
    held(replay, chunk(times, "mails", 0, 12), "m")
    assert sum(len(c) for turn in replay.turns() for c in turn.chunks) == n + 4
    assert replay.has_room("orders")
    assert replay.done


def test_after_a_run_and_a_stretch_the_rest_comes_as_it_arrives() -> None:
    times = {"orders": [5, 6, 7], "mails": [1, 8, 9]}
    steps: list[Step] = [
        Run("orders", 3), Stretch({"orders": 3, "mails": 0}, {"orders": 6, "mails": 6}),
    ]  # fmt: skip
    replay = Replay(steps, {"orders": 9, "mails": 9}, {}, {}, list(times))
    held(replay, chunk(times, "mails", 0, 9), "m")
    assert list(replay.turns()) == []
    held(replay, chunk(times, "orders", 0, 9), "o")
    told = [
        ([(c.topic, c.offset.tolist()) for c in turn.chunks], list(turn.messages), turn.planned)
        for turn in replay.turns()
    ]
    assert told == [
        ([("orders", [0])], [], True),
        ([("orders", [3]), ("mails", [0, 3])], [], True),
        ([("orders", [6])], ["o"], False),
        ([("mails", [6])], ["m"], False),
    ]
