"""Chunks of several topics are taken again in the order in which they were taken."""

from __future__ import annotations

from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.columns import RecordChunk, Spans, split
from stream.state.marker import Stretch
from stream.worker.order.replay import Replay, Turn
from stream.worker.order.steps import RUN_RECORDS, Announcer, Run, Step

TOPICS = ("mails", "orders", "visits")


def chunk(topic: str, first: int, end: int) -> RecordChunk:
    offset = np.arange(first, end, dtype=np.int64)
    none = Spans(np.zeros(0, np.uint8), offset * 0, offset * 0)
    return RecordChunk(topic, 0, offset, offset * 0, none, none, end)


def feed(rng: Random, ends: dict[str, int], starts: dict[str, int], most: int) -> list[RecordChunk]:
    """Chunks of all topics, each in order, interleaved at random and cut at random."""
    position, out = dict(starts), []
    while pending := [t for t in TOPICS if position[t] < ends[t]]:
        topic = rng.choice(pending)
        end = min(ends[topic], position[topic] + rng.randint(1, most))
        out.append(chunk(topic, position[topic], end))
        position[topic] = end
    return out


def turns(replay: Replay, incoming: RecordChunk, message: object = "") -> list[Turn]:
    replay.offer(incoming, message, incoming.timestamp_ms)
    return list(replay.turns())


def take(
    chunks: list[RecordChunk], announcer: Announcer, replay: Replay, starts: dict[str, int]
) -> tuple[list[tuple[str, int]], list[list[Step]]]:
    """What a worker does: records in the order taken, and what it had made durable at each."""
    position, order, announced = dict(starts), list[tuple[str, int]](), list[list[Step]]()
    durable = announcer.beyond(starts)
    for incoming in chunks:
        for (part,), _, _, planned in turns(replay, incoming):
            if not planned:
                announcer.close(position, part.topic)
                if announcer.announce(part.topic, position[part.topic], part.next_offset):
                    durable = announcer.beyond(starts)
            order += [(part.topic, int(o)) for o in part.offset]
            announced += [durable] * len(part)
            position[part.topic] = part.next_offset
    return order, announced


def runs_of(steps: list[Step]) -> list[Run]:
    return [step for step in steps if isinstance(step, Run)]


@given(st.integers(0, 10_000), st.integers(1, 60))
@settings(deadline=None, max_examples=150)
def test_a_replay_repeats_the_order_up_to_the_crash(seed: int, most: int) -> None:
    rng = Random(seed)
    zero = dict.fromkeys(TOPICS, 0)
    ends = {topic: rng.randint(0, 200) for topic in TOPICS}
    first, announced = take(feed(rng, ends, zero, most), Announcer(), Replay([], {}), zero)
    if not first:
        return
    crash = rng.randint(1, len(first))
    runs = runs_of(announced[crash - 1])
    again, announced_again = take(
        feed(rng, ends, zero, most), Announcer(runs), Replay(runs, ends), zero
    )
    assert again[:crash] == first[:crash]
    assert sorted(again) == sorted(first)
    # And once more, after a crash during or after the replay.
    crash_again = rng.randint(1, len(again))
    runs = runs_of(announced_again[crash_again - 1])
    third, _ = take(feed(rng, ends, zero, most), Announcer(runs), Replay(runs, ends), zero)
    assert third[: max(crash, crash_again)] == again[: max(crash, crash_again)]


def told(ready: list[Turn]) -> list[tuple[str, range, list[object]]]:
    return [
        (part.topic, range(int(part.offset[0]), part.next_offset), list(messages))
        for (part,), _, messages, _ in ready
    ]


def test_what_a_checkpoint_covers_is_not_replayed() -> None:
    announcer = Announcer([Run("mails", 10), Run("orders", 20), Run("mails", 30)])
    assert announcer.beyond({"mails": 10, "orders": 15}) == [Run("orders", 20), Run("mails", 30)]


def test_one_topic_alone_is_announced_rarely() -> None:
    announcer = Announcer()
    steps = range(0, 3 * RUN_RECORDS, 1024)
    announced = [announcer.announce("mails", at, at + 1024) for at in steps]
    assert sum(announced) == 3


def test_a_replay_does_not_wait_for_records_that_are_gone() -> None:
    replay = Replay([Run("mails", 10), Run("orders", 5)], {"mails": 50, "orders": 5})
    # 0 to 39 were deleted by retention.
    assert turns(replay, chunk("mails", 40, 50), "m") == []
    ready = turns(replay, chunk("orders", 0, 5), "o")
    assert told(ready) == [("orders", range(5), ["o"]), ("mails", range(40, 50), ["m"])]
    assert replay.done


def test_a_run_never_waits_past_the_end_of_its_topic() -> None:
    replay = Replay([Run("mails", 1_000), Run("orders", 5)], {"mails": 3, "orders": 5})
    assert turns(replay, chunk("orders", 0, 5), "o") == []
    ready = turns(replay, chunk("mails", 0, 3), "m")
    assert told(ready) == [("mails", range(3), ["m"]), ("orders", range(5), ["o"])]


def test_a_chunk_that_is_cut_is_done_with_its_last_part() -> None:
    replay = Replay([Run("mails", 4), Run("orders", 1)], {"mails": 9, "orders": 9})
    assert told(turns(replay, chunk("mails", 0, 9), "m")) == [("mails", range(4), [])]
    assert told(turns(replay, chunk("orders", 0, 9), "o")) == [
        ("orders", range(1), []), ("mails", range(4, 9), ["m"]), ("orders", range(1, 9), ["o"]),
    ]  # fmt: skip


def test_runs_and_stretches_come_back_in_their_sequence() -> None:
    """Also of one topic on both sides of a stretch, and when nothing of a topic was to be caught up."""
    announcer = Announcer([Run("mails", 10), Run("orders", 7)])
    announcer.align({"mails": 4, "orders": 2}, {"mails": 30, "orders": 5})
    first = Stretch({"mails": 10, "orders": 7}, {"mails": 30, "orders": 7})
    assert announcer.owed()
    assert not announcer.owed()
    announcer.close({"mails": 30, "orders": 7}, "orders")
    assert announcer.announce("orders", 7, 8)
    ends = {"mails": 40, "orders": 9}
    again = Announcer(announcer.runs(), announcer.stretches({}), ends)
    steps: list[Step] = [Run("mails", 10), Run("orders", 7), first, Run("orders", 9)]
    assert again.beyond({}) == steps
    again.align({"mails": 4, "orders": 2}, ends)
    assert again.beyond({}) == [*steps, Stretch({"mails": 30, "orders": 9}, ends)]
    assert again.beyond({"mails": 30, "orders": 8}) == [
        Run("orders", 9), Stretch({"mails": 30, "orders": 9}, ends),
    ]  # fmt: skip


def test_nothing_is_caught_up_with_twice() -> None:
    announcer = Announcer([], [Stretch({"mails": 0, "orders": 0}, {"mails": 3, "orders": 4})])
    announcer.align({"mails": 0, "orders": 2}, {"mails": 3, "orders": 4})
    assert not announcer.owed()
    assert len(announcer.beyond({})) == 1


def test_of_what_is_covered_the_large_stretches_are_remembered() -> None:
    def stretch(first: int, records: int, *, silent: bool = False) -> Stretch:
        return Stretch({"a": first, "b": 0}, {"a": first + records, "b": 0}, silent)

    small = [stretch(1000 + i, 1) for i in range(20)]
    open_ones = [stretch(2000 + i, 1) for i in range(20)]
    announcer = Announcer([], [stretch(0, 500), stretch(500, 500, silent=True), *small, *open_ones])
    kept = announcer.stretches({"a": 1500, "b": 0})
    assert kept[0] == stretch(0, 500)
    assert kept[1:8] == small[-7:]
    assert kept[8:] == open_ones


def test_split_keeps_every_record_and_the_next_offset() -> None:
    before, after = split(chunk("mails", 10, 20), 14)
    assert (list(before.offset), before.next_offset) == ([10, 11, 12, 13], 14)
    assert (after.offset[0], after.next_offset) == (14, 20)
