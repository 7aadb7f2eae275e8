"""In which order the processor makes things durable, and what it does when it cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from models import network
from models.bundle import Bundle, Fit, Golden
from models.contract import Normalization
from models.manifest import DataWindow, NetworkConfig
from stream import changelog
from stream.campaign import parse
from stream.columns import RecordChunk, Spans
from stream.features import compile_features
from stream.pipeline import Deployment
from stream.policy import Policy
from stream.records import RecordBatch, RecordReader, build_batches
from stream.scores import Scorer
from stream.worker.processor import Processor

CAMPAIGN = parse(
    """
    app = "t"
    topics = { events = ["events"], decisions = "out", dead_letter = "dead" }
    features = [{ op = "count", events = ["Order Completed"], half_lives = ["1d"] }]
    strategies = [{ id = "mail" }, { id = "push" }]
    policy = { do_nothing = false }
    model = { head = "choice", network = "linear" }
    worker = { revoke_deadline_s = 0.3 }
    """
)
PLAN = compile_features(CAMPAIGN)


@pytest.fixture(scope="module")
def deployment() -> Deployment:
    config = NetworkConfig(network="linear", head="choice", inputs=1, outputs=2)
    model = network.build(config, seed=1)
    inputs = np.zeros((1, 1), np.float32)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    bundle = Bundle.create(
        contract=PLAN.contract,
        normalization=Normalization.identity(1),
        strategies=("mail", "push"),
        network=config,
        weights=network.weights(model),
        golden=Golden(inputs, np.asarray(model(inputs))),
        fit=Fit(created=now, window=DataWindow(0, 1), seed=1),
    )
    scorer = Scorer(bundle)
    return Deployment(scorer, Policy(CAMPAIGN, scorer.head, scorer.strategies))


@dataclass
class Shell:
    """A broker that acknowledges when told to, and remembers what happened in which order."""

    generation: int = 1
    auto: bool = True
    earliest: int = 0
    taken_until: int = 0
    rewound: list[int] = field(default_factory=list)
    happened: list[str] = field(default_factory=list)
    sent: list[tuple[str, RecordBatch, asyncio.Future[Any]]] = field(default_factory=list)
    failed: list[BaseException] = field(default_factory=list)
    offset: dict[str, int] = field(default_factory=dict)

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

    async def rewind(self, topic: str, partition: int, offset: int) -> int:
        self.rewound.append(offset)
        return max(offset, self.earliest)

    def done(self, message: Any) -> None:
        self.happened.append(f"done {message.value.next_offset}")

    def fail(self, error: BaseException) -> None:
        self.failed.append(error)

    def changelog(self) -> RecordChunk:
        data, at = b"", 0
        for topic, batch, _ in self.sent:
            if topic == "log":
                raw = bytearray(batch.seal(-1, -1, -1))
                raw[:8] = at.to_bytes(8, "big")
                data, at = data + bytes(raw), at + batch.records
        (chunk,) = RecordReader("log", 0, data, 0, 1000)
        return chunk


def message(first: int, customers: list[str], generation: int = 1) -> Any:
    """A chunk of orders as the transport delivers it."""
    values = [
        b'{"userId":"%s","messageId":"m%d","type":"track","event":"Order Completed",'
        b'"timestamp":"2026-01-01T00:00:00Z"}' % (c.encode(), first + i)
        for i, c in enumerate(customers)
    ]
    size = np.array([len(v) for v in values], np.int64)
    spans = Spans(np.frombuffer(b"".join(values), np.uint8), np.cumsum(size) - size, size)
    (batch,) = build_batches(spans, spans, 1_767_225_600_000)
    raw = bytearray(batch.seal(-1, -1, -1))
    raw[:8] = first.to_bytes(8, "big")
    (chunk,) = RecordReader("events", 0, bytes(raw), first, 1000)
    return SimpleNamespace(value=chunk, offset=first, generation_id=generation)


def run(scenario: Callable[[Shell, Processor], Awaitable[None]], deployment: Deployment) -> Shell:
    async def main() -> Shell:
        shell = Shell()
        processor = Processor(CAMPAIGN, PLAN, "log", shell)
        await processor.deploy(deployment)
        processor.begin(0, {"events": None}, {"events": 0})
        try:
            await scenario(shell, processor)
        finally:
            await processor.close()
        return shell

    return asyncio.run(main())


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0.005)


def test_decisions_then_rows_and_marker_then_done(deployment: Deployment) -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        shell.auto = False
        await processor.process(message(0, ["ann", "bob"]))
        await processor.process(message(2, ["ann"]))
        checkpoint = asyncio.create_task(processor.checkpoint())
        await settle()
        assert shell.happened == ["send out", "send out"]
        shell.acknowledge(0)
        await settle()
        assert "send log" not in shell.happened  # one decision is still on its way
        shell.acknowledge(1)
        await settle()
        assert shell.happened[-2:] == ["send log", "send log"]
        shell.acknowledge(2)
        await settle()
        assert "done 2" not in shell.happened  # the marker is still on its way
        shell.acknowledge(3)
        await checkpoint
        assert shell.happened[-2:] == ["done 2", "done 3"]

    shell = run(scenario, deployment)
    chunk = shell.changelog()
    assert chunk.key[len(chunk) - 1] == changelog.MARKER_KEY
    progress = changelog.Progress()
    processor = Processor(CAMPAIGN, PLAN, "log", shell)
    changelog.apply_chunk(chunk, processor.blocks.block(0).table, PLAN.offset_words, progress)
    assert progress.covered == {"events": 3}


def test_work_goes_on_while_a_checkpoint_is_under_way_and_is_not_in_it(
    deployment: Deployment,
) -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        shell.auto = False
        await processor.process(message(0, ["ann"]))
        checkpoint = asyncio.create_task(processor.checkpoint())
        await settle()
        await processor.process(message(1, ["ann", "ann"]))
        await settle()
        assert shell.happened.count("send out") == 2
        for i in range(4):
            await settle()
            shell.acknowledge(i)
        await checkpoint
        assert "done 1" in shell.happened
        assert "done 3" not in shell.happened

    shell = run(scenario, deployment)
    rows = changelog.Progress()
    table = Processor(CAMPAIGN, PLAN, "log", shell).blocks.block(0).table
    changelog.apply_chunk(shell.changelog(), table, PLAN.offset_words, rows)
    next_offset = table.state.view(np.int64)[0, PLAN.offset_words]
    assert next_offset.tolist() == [1]  # the row as of the first chunk, though two more were added


def test_a_failed_decision_is_the_end_and_nothing_is_done(deployment: Deployment) -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        shell.auto = False
        await processor.process(message(0, ["ann"]))
        await settle()
        shell.sent[0][2].set_exception(ConnectionError("broker gone"))
        await settle()
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(processor.checkpoint(), 1)

    shell = run(scenario, deployment)
    assert [str(error) for error in shell.failed] == ["broker gone"]
    assert "send log" not in shell.happened
    assert not [what for what in shell.happened if what.startswith("done")]


def test_drain_finishes_what_is_in_work(deployment: Deployment) -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.process(message(0, ["ann"]))
        await processor.drain()
        assert shell.happened[-1] == "done 1"
        await processor.process(message(1, ["ann"]))  # of the drained generation: not taken
        assert shell.happened.count("send out") == 1
        shell.generation = 2
        processor.begin(0, {"events": 1}, {"events": 2})
        await processor.process(message(1, ["ann"], generation=2))
        await processor.drain()
        assert shell.happened[-1] == "done 2"

    assert not run(scenario, deployment).failed


def test_drain_abandons_at_the_deadline_and_the_state_with_it(deployment: Deployment) -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        shell.auto = False
        await processor.process(message(0, ["ann"]))
        await processor.drain()
        assert processor.blocks.get(0) is None
        shell.acknowledge(0)  # too late
        await settle()

    shell = run(scenario, deployment)
    assert not shell.failed
    assert "send log" not in shell.happened
    assert not [what for what in shell.happened if what.startswith("done")]


def test_chunks_of_an_earlier_generation_are_not_taken(deployment: Deployment) -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.process(message(0, ["ann"], generation=0))
        await processor.checkpoint()

    assert run(scenario, deployment).happened == []


def test_a_replay_decides_only_what_was_not_covered(deployment: Deployment) -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.process(message(0, ["ann", "bob"]))
        await processor.drain()
        # Another worker restores the partition, and is handed the events from the start.
        other = Processor(CAMPAIGN, PLAN, "log", shell)
        await other.deploy(deployment)
        block = other.blocks.block(0)
        changelog.apply_chunk(shell.changelog(), block.table, PLAN.offset_words, block.progress)
        shell.generation = 2
        assert other.begin(0, {"events": None}, {"events": 3}) == {"events": 2}
        await other.process(message(0, ["ann", "bob", "ann"], generation=2))
        await settle()
        decisions = [batch.records for topic, batch, _ in shell.sent if topic == "out"]
        assert decisions == [2, 1]
        assert other.window.records == 1  # what is covered is cut off
        await other.close()

    run(scenario, deployment)


def test_a_new_layout_rebuilds_silently_up_to_the_commit(deployment: Deployment) -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        assert processor.begin(0, {"events": 2}, {"events": 3}) == {"events": 0}
        await processor.process(message(0, ["ann", "bob", "ann"]))
        await processor.drain()
        decisions = [batch.records for topic, batch, _ in shell.sent if topic == "out"]
        assert decisions == [1]
        assert processor.blocks.rows == 2

    run(scenario, deployment)
