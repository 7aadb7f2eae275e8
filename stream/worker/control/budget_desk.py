"""The budgets of a running worker: follows the log of draws, writes the draws of its partitions.

Rules of this file
1. A purse belongs to a partition from its first chunk until it is given up, and is never used again: who has
   the partition next, be it the same worker, begins with another.
2. What is left in a purse is given back when all that it paid for is acknowledged, and not otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from stream.campaign.file import Campaign
from stream.contacts.budgets.budget_log import BudgetLog
from stream.contacts.budgets.purse import Purse
from stream.log import log_event
from stream.worker.control.control_topic import ControlReader, budget_topic

_ASK_EVERY_S = 0.05
_FILL_S = 0.5
_GIVE_BACK_S = 2.0


class BudgetDesk:
    """Draws for the partitions of a worker; does nothing for a campaign without budgets.

    Args:
        campaign: The campaign file.
        bootstrap: Kafka address.
    """

    def __init__(self, campaign: Campaign, bootstrap: str) -> None:
        self._campaign = campaign
        self._topic = budget_topic(campaign.app)
        self._bootstrap = bootstrap
        self._reader = ControlReader(bootstrap, self._topic)
        self._log = BudgetLog()
        self._purses: dict[int, Purse] = {}
        self._partitions = 1
        self._producer: AIOKafkaProducer | None = None
        self._heard = asyncio.Event()

    @property
    def has_budgets(self) -> bool:
        """Whether there is anything to draw."""
        return bool(self._campaign.budgets)

    async def open(self, partitions: int) -> None:
        """Reads the log of draws, before anything is decided.

        Args:
            partitions: Of the event topics.

        Raises:
            KafkaLayoutError: It cannot be read.
        """
        self._partitions = partitions
        if not self.has_budgets:
            return
        for record in await self._reader.open():
            self._log.read(record.value)
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap, acks="all", enable_idempotence=True
        )
        await self._producer.start()

    async def purse(self, partition: int, events: int) -> Purse | None:
        """What a partition may spend on so many events; None without budgets.

        What it has is filled up as far as budgets can, or a moment has passed.
        """
        if not self.has_budgets:
            return None
        if partition not in self._purses:
            claim = f"{partition}-{uuid.uuid4().hex}"
            self._purses[partition] = Purse(self._campaign, self._log, claim, self._partitions)
        purse, now_ms = self._purses[partition], time.time_ns() // 1_000_000
        for value in purse.wishes(now_ms, events):
            await self._send(value)
        with contextlib.suppress(TimeoutError):  # then it spends what it has
            async with asyncio.timeout(_FILL_S):
                while purse.waits(now_ms, events):
                    self._heard.clear()
                    await self._heard.wait()
        return purse

    async def follow(self) -> None:
        """Waits a moment for draws, its own and those of others."""
        for record in await self._reader.changes():
            self._log.read(record.value)
            self._heard.set()

    async def draw(self) -> None:
        """Asks for what purses are running out of, now and then."""
        await asyncio.sleep(_ASK_EVERY_S)
        now_ms = time.time_ns() // 1_000_000
        for purse in list(self._purses.values()):
            for value in purse.wishes(now_ms):
                await self._send(value)

    async def give_back(self) -> None:
        """Ends all purses, whose decisions are all acknowledged, with what is left in them."""
        purses, self._purses = self._purses, {}
        values = [value for purse in purses.values() for value in purse.returns()]
        if not values:
            return
        try:
            async with asyncio.timeout(_GIVE_BACK_S):
                for value in values:
                    await self._send(value)
        except (KafkaError, TimeoutError) as exc:
            reason = f"{type(exc).__name__} {exc}"
            log_event("budget_lost", level=logging.WARNING, purses=len(purses), reason=reason)

    def forget(self) -> None:
        """Ends all purses; what is left in them is lost, since nobody knows what was published of it."""
        self._purses = {}

    async def close(self) -> None:
        """Leaves the broker."""
        await self._reader.close()
        if self._producer is not None:
            await self._producer.stop()

    async def _send(self, value: bytes) -> None:
        assert self._producer is not None, "the desk is opened first"
        await self._producer.send_and_wait(self._topic, value, partition=0)
