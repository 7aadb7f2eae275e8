"""The broker as a worker sees it: logs, and a consumer group with generations and sessions."""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import Iterable, Mapping
from random import Random
from typing import Any, NamedTuple, Protocol

from faust.types import TP

from stream.kafka.records import RecordBatch
from tests.simulation.clock import VirtualLoop
from tests.simulation.settings import Settings


class Stored(NamedTuple):
    """A record batch in a log.

    Attributes:
        base: Offset of its first record.
        end: Offset after its last record.
        data: As it lies on disk.
        writer: Who sent it.
    """

    base: int
    end: int
    data: bytes
    writer: str


class Log:
    """One partition of one topic.

    Attributes:
        batches: Everything that was ever written.
        start: First offset that retention has left.
    """

    def __init__(self) -> None:
        self.batches: list[Stored] = []
        self.start = 0

    @property
    def end(self) -> int:
        """Offset after the last record."""
        return self.batches[-1].end if self.batches else 0

    def append(self, batch: RecordBatch, writer: str) -> int:
        """Writes a batch; gives its first offset."""
        base = self.end
        data = bytearray(batch.seal(-1, -1, -1))
        data[:8] = base.to_bytes(8, "big")
        self.batches.append(Stored(base, base + batch.records, bytes(data), writer))
        return base

    def read(self, offset: int, batches_max: int) -> bytes:
        """The batches from the one on that holds an offset."""
        at = bisect.bisect_right(self.batches, offset, key=lambda stored: stored.end)
        return b"".join(stored.data for stored in self.batches[at : at + batches_max])


class Member(Protocol):
    """What the group knows of a worker."""

    name: str
    reachable: bool

    def told_to_rejoin(self) -> None:
        """The answer to its next heartbeat."""


class Joined(NamedTuple):
    """A place in a generation of the group."""

    generation: int
    tps: set[TP]


class Group:
    """The coordinator of one consumer group, eager protocol.

    Args:
        loop: The clock.
        random: Decides who gets which partition.
        settings: Of this history.
        copartitioned: Gives the topics whose partitions are assigned together.

    Attributes:
        generation: The present one.
        committed: Committed offset of each event partition.
    """

    def __init__(self, loop: VirtualLoop, random: Random, settings: Settings) -> None:
        self._loop = loop
        self._random = random
        self._settings = settings
        self._members: list[Member] = []
        self._waiting: dict[str, asyncio.Future[Joined]] = {}
        self._topics: dict[str, tuple[str, ...]] = {}
        self._owner: dict[int, str] = {}
        self._rebalancing = False
        self._round = 0
        self.generation = 0
        self.committed: dict[TP, int] = {}

    async def join(self, member: Member, topics: tuple[str, ...]) -> Joined:
        """Waits until the next generation begins."""
        if member not in self._members:
            self._members.append(member)
        self._topics[member.name] = topics
        future: asyncio.Future[Joined] = self._loop.create_future()
        self._waiting[member.name] = future
        self.rebalance()
        if not self._missing():
            self._complete(self._round)
        return await future

    def rebalance(self) -> None:
        """Asks all members to join again."""
        if self._rebalancing:
            return
        self._rebalancing = True
        self._round += 1
        self._loop.outside(self._settings.rebalance_timeout_s, self._complete, self._round)
        for member in self._members:
            if member.name not in self._waiting:
                self._tell(member)

    def _tell(self, member: Member) -> None:
        delay_s = self._random.uniform(0.0, self._settings.heartbeat_s)

        def answer() -> None:
            if member.reachable and self.awaits(member):
                member.told_to_rejoin()

        self._loop.outside(delay_s, answer)

    def leave(self, member: Member) -> None:
        """Takes a member out: it left, or its session ended."""
        self._waiting.pop(member.name, None)
        if member not in self._members:
            return
        self._members.remove(member)
        if self._rebalancing and self._members and not self._missing():
            self._complete(self._round)
        elif self._members:
            self.rebalance()

    def knows(self, member: Member, generation: int) -> bool:
        """Whether a member is one of this generation."""
        return member in self._members and generation == self.generation

    def awaits(self, member: Member) -> bool:
        """Whether the next generation waits for a member."""
        return self._rebalancing and member in self._members and member.name not in self._waiting

    def lose(self, member: Member) -> None:
        """A member is not heard of any more; its session ends unless it comes back."""
        self._loop.outside(self._settings.session_s, self._expire, member)

    def _expire(self, member: Member) -> None:
        if not member.reachable:
            self.leave(member)

    def commit(self, member: Member, generation: int, offsets: Mapping[TP, int]) -> bool:
        """Commits offsets, if they come from a member of this generation."""
        if not self.knows(member, generation):
            return False
        self.committed.update(offsets)
        return True

    def _missing(self) -> list[Member]:
        return [member for member in self._members if member.name not in self._waiting]

    def _complete(self, round_: int) -> None:
        if round_ != self._round or not self._rebalancing:
            return
        for member in self._missing():
            self._members.remove(member)
        self._rebalancing = False
        self.generation += 1
        assigned = self._assign([member.name for member in self._members])
        waiting, self._waiting = self._waiting, {}
        for name, future in waiting.items():
            if not future.done():
                future.set_result(Joined(self.generation, assigned[name]))

    def _assign(self, names: list[str]) -> dict[str, set[TP]]:
        """Sticky most of the time, else anything."""
        assigned: dict[str, set[TP]] = {name: set() for name in names}
        if not names:
            return assigned
        sticky = self._random.random() < self._settings.sticky
        load = dict.fromkeys(names, 0)
        most = -(-self._settings.partitions // len(names))
        for partition in range(self._settings.partitions):
            owner = self._owner.get(partition, "")
            if not sticky or load.get(owner, most) >= most:
                least = min(load.values())
                owner = self._random.choice([name for name in names if load[name] == least])
            load[owner] += 1
            self._owner[partition] = owner
            assigned[owner] |= {TP(topic, partition) for topic in self._topics[owner]}
        return assigned


class Broker:
    """Logs and the group.

    Args:
        loop: The clock.
        random: For the group.
        settings: Of this history.
    """

    def __init__(self, loop: VirtualLoop, random: Random, settings: Settings) -> None:
        self._loop = loop
        self._logs: dict[TP, Log] = {}
        self._fetching: list[asyncio.Future[None]] = []
        self.group = Group(loop, random, settings)
        self.closed_until_s = 0.0

    def log(self, topic: str, partition: int) -> Log:
        """The log of a partition, made when it is not there."""
        return self._logs.setdefault(TP(topic, partition), Log())

    def append(self, topic: str, partition: int, batch: RecordBatch, writer: str) -> int:
        """Writes a batch and wakes those who wait for one."""
        base = self.log(topic, partition).append(batch, writer)
        waiting, self._fetching = self._fetching, []
        for future in waiting:
            if not future.done():
                future.set_result(None)
        return base

    def changed(self) -> asyncio.Future[None]:
        """Done when something was written."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._fetching.append(future)
        return future

    def topics(self) -> Iterable[TP]:
        """All partitions that were written."""
        return self._logs

    def metadata(self, base: int) -> Any:
        """What an acknowledgement says."""
        return _Metadata(base)


class _Metadata(NamedTuple):
    offset: int
