"""A processor without Kafka: chunks by hand, and a broker that acknowledges when it is told to."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np

from models import network
from models.manifest import NetworkConfig
from stream.campaign.file import Campaign, parse
from stream.columns import RecordChunk, Spans, split
from stream.contacts.budgets.purse import Purse
from stream.features.plan import compile_features
from stream.kafka.records import RecordBatch, RecordReader, build_batches
from stream.pipeline import Deployment
from stream.policy.choice import Policy
from stream.scoring.scorer import Scorer
from stream.state.marker import MARKER_KEY, Marker
from stream.worker.partition.block import Block
from stream.worker.partition.lifecycle import State
from stream.worker.processor import Processor
from tests.bundles import bundle_of

TEXT = """
    app = "t"
    topics = { events = TOPICS, decisions = "out", dead_letter = "dead" }
    features = [{ op = "count", events = ["Order Completed"], half_lives = ["1d"] }]
    strategies = [{ id = "mail" }, { id = "push" }]
    policy = { do_nothing = false }
    model = { head = "choice", network = "linear" }
    worker = { revoke_deadline_s = 0.3 }
"""
CAMPAIGN = parse(TEXT.replace("TOPICS", '["events"]'))
PLAN = compile_features(CAMPAIGN)
TWO_TOPICS = parse(TEXT.replace("TOPICS", '["events", "mails"]'))


@functools.cache
def deployment() -> Deployment:
    config = NetworkConfig(network="linear", head="choice", inputs=1, outputs=2)
    inputs = np.zeros((1, 1), np.float32)
    model = network.build(config, seed=1)
    scorer = Scorer(bundle_of(model, config, PLAN.contract, ("mail", "push"), inputs))
    return Deployment(scorer, Policy(CAMPAIGN, scorer.head, scorer.strategies))


@dataclass
class Shell:
    """A broker that acknowledges when told to, and remembers what happened in which order."""

    generation: int = 1
    auto: bool = True
    removed: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    taken_until: int = 0
    paused: list[str] = field(default_factory=list)
    rewound: list[int] = field(default_factory=list)
    happened: list[str] = field(default_factory=list)
    sent: list[tuple[str, RecordBatch, asyncio.Future[Any]]] = field(default_factory=list)
    failed: list[BaseException] = field(default_factory=list)
    offset: dict[str, int] = field(default_factory=dict)
    purses: dict[int, Purse] = field(default_factory=dict)
    ended: list[bool] = field(default_factory=list)

    async def send(self, topic: str, partition: int, batch: RecordBatch) -> Awaitable[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.happened.append(f"send {topic}")
        self.sent.append((topic, batch, future))
        if self.auto:
            self.acknowledge(len(self.sent) - 1)
        return future

    def acknowledge(self, i: int) -> None:
        topic, batch, future = self.sent[i]
        first = self.offset.get(topic, 0)
        self.offset[topic] = first + batch.records
        self.happened.append(f"ack {topic}")
        future.set_result(SimpleNamespace(offset=first))

    def taken(self, message: Any) -> None:
        self.taken_until = message.value.next_offset

    async def earliest(self, topic: str, partition: int) -> int:
        self.asked.append(topic)
        return self.removed.get(topic, 0)

    def pause(self, topic: str, partition: int) -> None:
        self.paused.append(topic)

    async def rewind(self, topic: str, partition: int, offset: int) -> int:
        self.rewound.append(offset)
        return max(offset, self.removed.get(topic, 0))

    def done(self, message: Any) -> None:
        self.happened.append(f"done {message.value.next_offset}")

    async def purse(self, partition: int, events: int) -> Purse | None:
        return self.purses.get(partition)

    async def end_purses(self, *, whole: bool) -> None:
        self.ended.append(whole)
        self.purses = {}

    def rejoin(self) -> None:
        self.happened.append("rejoin")

    def fail(self, error: BaseException) -> None:
        self.failed.append(error)

    def decided(self) -> list[int]:
        """Decisions in each batch that was sent."""
        return [batch.records for topic, batch, _ in self.sent if topic == "out"]

    def markers(self) -> list[Marker]:
        """The markers in the order in which they were sent."""
        log = self.changelog()
        return [
            msgspec.json.decode(log.value[i] or b"", type=Marker)
            for i in range(len(log))
            if log.key[i] == MARKER_KEY
        ]

    async def end(self, topic: str, partition: int) -> int:
        return self.offset.get(topic, 0)

    async def read(
        self, topic: str, partition: int, first: int, end: int
    ) -> AsyncIterator[RecordChunk]:
        if (log := self.changelog(topic)).next_offset > first:
            yield split(split(log, end)[0], first)[1]

    def foreign(self, *records: tuple[bytes, bytes | None], of: str = "log") -> None:
        """Somebody else writes to the changelog."""
        key, value = zip(*records, strict=True)
        (batch,) = build_batches(Spans.of(list(key)), Spans.of(list(value)), 0)
        self.sent.append((of, batch, asyncio.get_running_loop().create_future()))
        self.acknowledge(len(self.sent) - 1)

    def changelog(self, of: str = "log") -> RecordChunk:
        data, at = b"", 0
        for topic, batch, _ in self.sent:
            if topic == of:
                raw = bytearray(batch.seal(-1, -1, -1))
                raw[:8] = at.to_bytes(8, "big")
                data, at = data + bytes(raw), at + batch.records
        (chunk,) = RecordReader(of, 0, data, 0, 1_000_000)
        return chunk


def placed(
    key: Spans, value: Spans, first: int, topic: str = "log", partition: int = 0, time_ms: int = 0
) -> RecordChunk:
    """Keys and values as they are read back from an offset on."""
    (batch,) = build_batches(key, value, time_ms)
    raw = batch.seal(-1, -1, -1)
    raw[:8] = first.to_bytes(8, "big")
    (chunk,) = RecordReader(topic, partition, bytes(raw), first, 100_000)
    return chunk


def message(first: int, customers: list[str], generation: int = 1, topic: str = "events") -> Any:
    """A chunk of orders as the transport delivers it."""
    values = [
        b'{"userId":"%s","messageId":"m%d","type":"track","event":"Order Completed",'
        b'"timestamp":"2026-01-01T00:00:00Z"}' % (c.encode(), first + i)
        for i, c in enumerate(customers)
    ]
    column = Spans.of(values)
    chunk = placed(column, column, first, topic, time_ms=1_767_225_600_000)
    return SimpleNamespace(value=chunk, offset=first, generation_id=generation)


def restore(processor: Processor, log: RecordChunk | None = None) -> None:
    """Restores partition 0 from what there is of its changelog; what is active is thrown away."""
    if processor.blocks.state(0) is State.ACTIVE:
        processor.blocks.drop(0)
    end = 0 if log is None else log.next_offset
    processor.blocks.restore(0, 0, end)
    block = processor.blocks.get(0)
    assert block is not None
    if log is not None:
        assert block.read(0, log, processor.plan.offset_words) is None


def begin(
    processor: Processor,
    committed: Mapping[str, int | None],
    ends: Mapping[str, int],
    log: RecordChunk | None = None,
) -> Mapping[str, int]:
    """Restores partition 0, and begins it."""
    restore(processor, log)
    return processor.begin(0, committed, ends)


def block_of(processor: Processor) -> Block:
    """The state of partition 0."""
    block = processor.blocks.get(0)
    assert block is not None
    return block


def run(
    scenario: Callable[[Shell, Processor], Awaitable[None]], campaign: Campaign = CAMPAIGN
) -> Shell:
    """Plays a scenario on a processor that has begun partition 0 at offset 0 of every topic."""

    async def main() -> Shell:
        shell = Shell()
        processor = Processor(campaign, compile_features(campaign), "log", shell)
        await processor.deploy(deployment())
        topics = campaign.topics.events
        begin(processor, dict.fromkeys(topics), dict.fromkeys(topics, 0))
        try:
            await scenario(shell, processor)
        finally:
            await processor.close()
        return shell

    return asyncio.run(main())


async def settle() -> None:
    """Lets everything happen that can happen without a further acknowledgement."""
    for _ in range(20):
        await asyncio.sleep(0.005)
