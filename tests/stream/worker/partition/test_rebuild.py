"""With several topics, nothing is decided on rows that are rebuilt by half."""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Mapping

import msgspec
import pytest

from stream.features.plan import compile_features
from stream.kafka.records import RecordReader
from stream.state.marker import Stretch
from stream.worker.order.steps import RUN_RECORDS, Run
from stream.worker.partition.rebuild import cut
from stream.worker.processor import Processor
from tests.stream.worker.processor_harness import (
    TWO_TOPICS,
    Shell,
    begin,
    block_of,
    deployment,
    message,
    restore,
    run,
)

PLAN = compile_features(TWO_TOPICS)


class Log:
    """Two topics as Kafka keeps them: what is delivered goes on where a topic was last rewound to.

    Args:
        shell: Is asked for rewinds.
        ends: Records by topic.
        starts: Where the reading begins.
    """

    def __init__(self, shell: Shell, ends: Mapping[str, int], starts: Mapping[str, int]) -> None:
        self.ends, self.position = ends, dict(starts)
        self._rewind = shell.rewind
        shell.rewind = self.rewind  # type: ignore[method-assign]

    async def rewind(self, topic: str, partition: int, offset: int) -> int:
        self.position[topic] = await self._rewind(topic, partition, offset)
        return self.position[topic]

    async def deliver(self, processor: Processor, topic: str, count: int) -> None:
        first = self.position[topic]
        count = min(count, self.ends[topic] - first)
        if count > 0:
            self.position[topic] += count
            await processor.process(message(first, ["ann"] * count, topic=topic))

    @property
    def pending(self) -> list[str]:
        return [topic for topic, end in sorted(self.ends.items()) if self.position[topic] < end]


async def restored(
    shell: Shell, committed: Mapping[str, int | None], ends: Mapping[str, int]
) -> tuple[Processor, Mapping[str, int]]:
    """Another worker, with what the changelog says, and where it begins to read."""
    processor = Processor(TWO_TOPICS, PLAN, "log", shell)
    await processor.deploy(deployment())
    log = shell.changelog() if any(topic == "log" for topic, _, _ in shell.sent) else None
    return processor, begin(processor, committed, ends, log)


@pytest.mark.parametrize("mails_committed", [1, None])
def test_a_topic_that_is_through_waits_for_the_others(mails_committed: int | None) -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        begin(processor, {"events": 3, "mails": mails_committed}, {"events": 5, "mails": 2})
        await processor.process(message(0, ["ann", "bob"], topic="mails"))
        await processor.process(message(2, ["ann"], topic="mails"))
        await processor.process(message(0, ["ann"]))
        assert shell.decided() == []
        assert shell.rewound == []
        await processor.process(message(1, ["ann", "bob", "ann", "ann"]))
        decided = 0 if mails_committed is None else mails_committed
        assert shell.rewound == []
        await processor.checkpoint()
        assert sum(shell.decided()) == 2 + 3 - decided
        assert shell.markers()[-1].covered == {"events": 5, "mails": 3}

    run(scenario, TWO_TOPICS)


@pytest.mark.parametrize("removed", [7, 9])
def test_a_topic_of_which_nothing_is_left_is_not_waited_for(removed: int) -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        begin(processor, {"events": 3, "mails": 7}, {"events": 6, "mails": 9})
        shell.removed["mails"] = removed
        await processor.process(message(0, ["ann"] * 6))
        assert shell.asked == ["mails"]
        await processor.checkpoint()
        caught_up = (
            removed == 9
        )  # otherwise what is left of the mails has its place among the events
        assert shell.markers()[-1].covered == {"events": 6 if caught_up else 3, "mails": removed}
        if not caught_up:
            await processor.process(message(removed, ["ann"] * (9 - removed), topic="mails"))
        await processor.checkpoint()
        assert shell.markers()[-1].covered == {"events": 6, "mails": 9}

    assert sum(run(scenario, TWO_TOPICS).decided()) == 3 + 9 - removed


def test_a_topic_that_was_created_anew_is_not_waited_for() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        begin(processor, {"events": 3, "mails": 70}, {"events": 6, "mails": 0})
        await processor.process(message(0, ["ann"] * 6))
        await processor.checkpoint()

    assert run(scenario, TWO_TOPICS).decided() == [3]


def test_an_announced_run_of_which_nothing_is_left_is_not_waited_for() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        restore(processor)
        block_of(processor).progress.order = [("mails", 5), ("events", 2)]
        processor.begin(0, {"events": None, "mails": None}, {"events": 6, "mails": 5})
        shell.removed["mails"] = 5
        await processor.process(message(0, ["ann"] * 6))
        await processor.checkpoint()

    assert sum(run(scenario, TWO_TOPICS).decided()) == 6


def test_a_run_that_was_taken_already_is_not_waited_for() -> None:
    """Announced ahead, beyond the last record: nothing of its topic comes any more."""

    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.process(message(0, ["ann"] * 3))
        await processor.checkpoint()
        assert shell.markers()[-1].order == [("events", RUN_RECORDS)]
        ends = {"events": 3, "mails": 2}
        other, _ = await restored(shell, {"events": 3, "mails": None}, ends)
        await other.process(message(0, ["ann"] * 2, topic="mails"))
        await other.drain()
        await other.close()

    assert run(scenario, TWO_TOPICS).decided() == [3, 2]


def test_a_run_ends_where_its_topic_had_to_wait() -> None:
    silent_until, ends = {"events": 10, "mails": 4}, {"events": 90, "mails": 90}
    runs = [Run("mails", 3), Run("events", 40_000)]
    assert cut(runs, {}, silent_until, ends) == [Run("mails", 3), Run("events", 10)]
    runs[0] = Run("mails", 4)
    assert cut(runs, {}, silent_until, ends) == runs


def test_behind_the_stretch_that_rebuilt_the_table_no_topic_had_to_wait() -> None:
    silent_until, ends = {"events": 0, "mails": 8}, {"events": 62, "mails": 68}
    runs = [Run("events", 40_000)]
    rebuilt = [Stretch({"events": 0, "mails": 0}, {"events": 0, "mails": 8}, silent=True)]
    assert cut(runs, {}, silent_until, ends, rebuilt) == runs
    assert cut(runs, {}, silent_until, ends) == [Run("events", 0)]


ENDS = {"events": 23, "mails": 9}


@functools.cache
def scores() -> list[float]:
    """Score of the one customer by how much of it was counted: whatever comes, in any order."""
    published: dict[str, float] = {}

    async def scenario(shell: Shell, processor: Processor) -> None:
        for topic, end in ENDS.items():
            await processor.process(message(0, ["ann"] * end, topic=topic))
        await processor.checkpoint()
        note(shell, published)

    run(scenario, TWO_TOPICS)
    return list(published.values())


def note(shell: Shell, published: dict[str, float]) -> None:
    """Remembers the score of each decision by its id; it is the same when it is published again."""
    for batch in [batch for topic, batch, _ in shell.sent if topic == "out"]:
        (chunk,) = RecordReader("out", 0, bytes(batch.seal(-1, -1, -1)), 0, 1_000)
        for i in range(len(chunk)):
            decision = msgspec.json.decode(chunk.value[i] or b"")
            score = decision["data"]["score"]
            assert published.setdefault(decision["id"], score) == score, decision["id"]


@pytest.mark.parametrize("seed", range(12))
def test_a_rebuild_that_is_killed_again_and_again_decides_alike_on_whole_rows(seed: int) -> None:
    rng = random.Random(seed)
    committed = {"events": rng.randint(1, 20), "mails": rng.randint(0, 6)}
    published: dict[str, float] = {}

    async def live(shell: Shell, steps: int) -> Processor:
        processor, starts = await restored(shell, committed, ENDS)
        kafka = Log(shell, ENDS, starts)
        while kafka.pending and (steps := steps - 1) >= 0:
            await kafka.deliver(processor, rng.choice(kafka.pending), rng.randint(1, 4))
            if rng.random() < 0.2:
                await processor.checkpoint()
        await asyncio.sleep(0)
        note(shell, published)
        return processor

    async def scenario(shell: Shell, _: Processor) -> None:
        for _life in range(3):
            await (await live(shell, rng.randint(1, 25))).close()
        processor = await live(shell, 1_000)
        await processor.drain()
        note(shell, published)
        assert shell.markers()[-1].covered == ENDS
        await processor.close()

    run(scenario, TWO_TOPICS)
    assert published.keys() == {
        f"{topic}-0-{i}-1" for topic, end in ENDS.items() for i in range(committed[topic], end)
    }
    assert sorted(published.values()) == sorted(scores()[sum(committed.values()) :])
