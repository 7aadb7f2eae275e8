"""Chunks of several topics are taken again in the order in which they were taken."""

from __future__ import annotations

from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.columns import RecordChunk, Spans, split
from stream.worker.partition.order import RUN_RECORDS, Announcer, Replay, Run

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


def take(
    chunks: list[RecordChunk], announcer: Announcer, replay: Replay, starts: dict[str, int]
) -> tuple[list[tuple[str, int]], list[list[Run]]]:
    """What a worker does: records in the order taken, and what it had made durable at each."""
    position, order, announced = dict(starts), list[tuple[str, int]](), list[list[Run]]()
    durable = announcer.beyond(starts)
    for incoming in chunks:
        for part, _, planned in replay.offer(incoming, object()):
            if not planned:
                announcer.close(position, part.topic)
                if announcer.announce(part.topic, position[part.topic], part.next_offset):
                    durable = announcer.beyond(starts)
            order += [(part.topic, int(o)) for o in part.offset]
            announced += [durable] * len(part)
            position[part.topic] = part.next_offset
    return order, announced


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
    runs = announced[crash - 1]
    again, announced_again = take(
        feed(rng, ends, zero, most), Announcer(runs), Replay(runs, ends), zero
    )
    assert again[:crash] == first[:crash]
    assert sorted(again) == sorted(first)
    # And once more, after a crash during or after the replay.
    crash_again = rng.randint(1, len(again))
    runs = announced_again[crash_again - 1]
    third, _ = take(feed(rng, ends, zero, most), Announcer(runs), Replay(runs, ends), zero)
    assert third[: max(crash, crash_again)] == again[: max(crash, crash_again)]


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
    ready = replay.offer(chunk("mails", 40, 50), "m")  # 0 to 39 were deleted by retention
    assert ready == []
    ready = replay.offer(chunk("orders", 0, 5), "o")
    assert [(part.topic, owner) for part, owner, _ in ready] == [("orders", "o"), ("mails", "m")]
    assert replay.done


def test_a_run_never_waits_past_the_end_of_its_topic() -> None:
    replay = Replay([Run("mails", 1_000), Run("orders", 5)], {"mails": 3, "orders": 5})
    assert replay.offer(chunk("orders", 0, 5), "o") == []
    ready = replay.offer(chunk("mails", 0, 3), "m")
    assert [part.topic for part, _, _ in ready] == ["mails", "orders"]


def test_a_chunk_that_is_cut_is_done_with_its_last_part() -> None:
    replay = Replay([Run("mails", 4), Run("orders", 1)], {"mails": 9, "orders": 9})
    first = replay.offer(chunk("mails", 0, 9), "m")
    assert [(list(part.offset), owner) for part, owner, _ in first] == [([0, 1, 2, 3], None)]
    rest = replay.offer(chunk("orders", 0, 9), "o")
    assert [(part.topic, part.offset[0], owner) for part, owner, _ in rest] == [
        ("orders", 0, None), ("mails", 4, "m"), ("orders", 1, "o"),
    ]  # fmt: skip


def test_split_keeps_every_record_and_the_next_offset() -> None:
    before, after = split(chunk("mails", 10, 20), 14)
    assert (list(before.offset), before.next_offset) == ([10, 11, 12, 13], 14)
    assert (after.offset[0], after.next_offset) == (14, 20)
