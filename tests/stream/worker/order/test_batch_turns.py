"""Turns of records that hold many events: taken in parts, in the same order, with the message last."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from stream.columns import RecordChunk, Spans, part
from stream.state.marker import Stretch
from stream.worker.order import replay
from stream.worker.order.replay import Replay, Turn


def chunk_of(topic: str, n: int) -> RecordChunk:
    none = Spans.of([None] * n)
    return RecordChunk(topic, 0, np.arange(n), np.arange(n), none, none, n + 3)


def in_pairs(chunk: RecordChunk) -> Iterator[RecordChunk]:
    for at in range(0, len(chunk), 2):
        end = min(at + 2, len(chunk))
        next_offset = int(chunk.offset[end]) if end < len(chunk) else chunk.next_offset
        yield part(chunk, slice(at, end), next_offset)


def test_a_chunk_is_done_with_its_last_part() -> None:
    turns = list(Turn.of(chunk_of("a", 5), "message").parts(in_pairs))
    assert [turn.chunks[0].offset.tolist() for turn in turns] == [[0, 1], [2, 3], [4]]
    assert [turn.chunks[0].next_offset for turn in turns] == [2, 4, 8]
    assert [turn.messages for turn in turns] == [[], [], ["message"]]
    planned = Turn.of(chunk_of("a", 3), None)._replace(planned=True)
    assert [turn.planned for turn in planned.parts(in_pairs)] == [True, True]


def test_a_window_is_not_cut_again() -> None:
    window = Turn([chunk_of("a", 5), chunk_of("b", 5)], [], ["m"], planned=True)
    assert list(window.parts(in_pairs)) == [window]


@pytest.mark.parametrize("events_max", [1, 7, 10**6])
def test_windows_hold_no_more_events_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch, events_max: int
) -> None:
    monkeypatch.setattr(replay, "WINDOW_EVENTS", events_max)
    ends = {"a": 6, "b": 6}
    held = Replay([Stretch({"a": 0, "b": 0}, ends)], ends, topics=("a", "b"))
    bounds = np.array([3, 1, 9, 1, 1, 1])
    times = {"a": np.array([1, 3, 5, 7, 9, 11]), "b": np.array([2, 4, 6, 8, 10, 12])}
    for topic in "ab":
        chunk = part(chunk_of(topic, 6), slice(0, 6), 6)
        held.offer(chunk, topic, times[topic], bounds)
    taken, messages = [], list[str]()
    for turn in held.turns():
        records = [
            (int(t), c.topic)
            for c, seen in zip(turn.chunks, turn.seen_ms, strict=True)
            for t in seen
        ]
        records.sort()
        weights = [int(bounds[(time - 1) // 2]) for time, _ in records]
        assert len(records) == 1 or sum(weights) <= events_max
        taken += records
        messages += turn.messages
    assert taken == [(time, "ab"[(time + 1) % 2]) for time in range(1, 13)]
    assert sorted(messages) == ["a", "b"]
