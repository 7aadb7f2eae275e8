"""Reads the decision topic, as a campaign engine would, and counts what was decided."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

import numpy as np
from aiokafka import AIOKafkaConsumer

from stream.decisions.encoder import GROUPS
from stream.decisions.reader import Decision, parse
from stream.policy.decision import Dropped, Reason
from stream.policy.stages import stage_of
from trainer.demo.sender import Feed

_RECENT = 6


@dataclass(frozen=True, slots=True)
class Shown:
    """One decision as the demo shows it.

    Attributes:
        event: Number of the event that asked for it, in the journey.
        household: Whom it is about.
        strategy: What to do, "nothing" for leaving the household alone.
        expected_value: Gain over doing nothing, in the unit of the campaign's values.
        probability: Of a redemption with the strategy.
        probability_without: Of a redemption without contact.
        reason: Reason code.
        event_time: Event time, UTC.
        latency_ms: From the sending of the event to the broker's having the decision.
        dropped: Codes of the strategies that were not taken.
        held_out: Whether the household is in a hold-out.
    """

    event: int
    household: str
    strategy: str
    expected_value: float
    probability: float | None
    probability_without: float | None
    reason: str
    event_time: datetime
    latency_ms: int
    dropped: tuple[str, ...] = ()
    held_out: bool = False


@dataclass(slots=True)
class Tally:
    """What a run of decisions amounts to.

    Attributes:
        count: Decisions by strategy.
        value: Sum of their expected values by strategy.
        households: Households by strategy.
        reasons: Reasons for leaving a household alone.
        stopped: Strategies that were stopped, by stage of the funnel.
        explored: Decisions that chance took.
        held_out: Decisions about households that are held out.
        latencies_ms: Of each decision.
        recent: The newest decisions.
    """

    count: Counter[str] = field(default_factory=Counter)
    value: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    households: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    reasons: Counter[str] = field(default_factory=Counter)
    stopped: Counter[str] = field(default_factory=Counter)
    explored: int = 0
    held_out: int = 0
    latencies_ms: list[int] = field(default_factory=list)
    recent: deque[Shown] = field(default_factory=lambda: deque(maxlen=_RECENT))

    @property
    def decided(self) -> int:
        """Number of decisions."""
        return self.count.total()

    def add(self, decision: Shown) -> None:
        """Counts a decision."""
        self.count[decision.strategy] += 1
        self.value[decision.strategy] += decision.expected_value
        self.households[decision.strategy].add(decision.household)
        self.latencies_ms.append(decision.latency_ms)
        self.recent.append(decision)
        self.stopped.update(stage_of(Dropped[code]) for code in decision.dropped)
        self.explored += decision.reason == Reason.EXPLORED.name
        self.held_out += decision.held_out
        if decision.strategy == "nothing":
            self.reasons[decision.reason] += 1

    def latency_ms(self, quantile: float) -> float | None:
        """A quantile of the latencies, None without decisions."""
        return float(np.quantile(self.latencies_ms, quantile)) if self.latencies_ms else None


class Watch:
    """The decisions about a feed.

    Args:
        feed: Where the events come from.
        bootstrap: Kafka address.
        topic: The decision topic.
        live_from: Number of the first live event.

    Attributes:
        history: About the events that were there before the worker started.
        live: About the events that came while it ran.
    """

    def __init__(self, feed: Feed, bootstrap: str, topic: str, live_from: int) -> None:
        self.history, self.live = Tally(), Tally()
        self.live_from = live_from
        self._feed = feed
        self._ids: set[str] = set()
        self._consumer = AIOKafkaConsumer(
            topic, bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="earliest"
        )
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        self._task = asyncio.create_task(self._read(), name="watch")
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._consumer.stop()

    def expect_running(self) -> None:
        """Raises what ended the reading, if something did."""
        if self._task is not None and self._task.done():
            self._task.result()

    async def _read(self) -> None:
        while True:
            for records in (await self._consumer.getmany(timeout_ms=100)).values():
                for record in records:
                    decision = parse(record.value)
                    assert decision is not None, record.value
                    self._take(decision, record.timestamp)

    def _take(self, decision: Decision, appended_ms: int) -> None:
        if decision.id in self._ids:
            return  # delivery is at least once: the first counts
        self._ids.add(decision.id)
        data = decision.data
        event = self._feed.event(data.event.topic, data.event.partition, data.event.offset)
        tally = self.live if event >= self.live_from else self.history
        tally.add(
            Shown(
                event=event,
                household=decision.customer,
                strategy=data.action.strategy,
                expected_value=data.expected_value or 0.0,
                probability=data.probability,
                probability_without=data.probability_without,
                reason=data.reasons[0],
                event_time=data.event.time,
                latency_ms=appended_ms - self._feed.sent_ms(event),
                dropped=tuple(drop.code for drop in data.dropped),
                held_out=data.group == GROUPS[1],
            )
        )
