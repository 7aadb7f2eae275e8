"""The switches of a running worker: which strategies are paused, told when that changes.

Rules of this file
1. A switch was acknowledged by the broker before it is used: it is read back from the topic, never taken
   from a command.
2. A worker reads all of them before it decides anything, so that a pause lasts through restarts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from stream.log import log_event
from stream.policy.operated.pauses import EVERYTHING, Switch, paused_of, read_switch
from stream.worker.control.control_topic import ControlReader, ControlRecord, control_topic


class Switchboard:
    """Follows the control topic.

    Args:
        bootstrap: Kafka address.
        app: Of the campaign.
        strategies: Ids of the campaign's.

    Attributes:
        paused: The strategies that are paused.
    """

    def __init__(self, bootstrap: str, app: str, strategies: Sequence[str]) -> None:
        self._reader = ControlReader(bootstrap, control_topic(app))
        self._strategies = tuple(strategies)
        self._switches: dict[str, Switch] = {}
        self.paused: frozenset[str] = frozenset()

    async def open(self) -> None:
        """Reads all that was switched so far.

        Raises:
            KafkaLayoutError: The topic cannot be read.
        """
        self._take(await self._reader.open())

    async def follow(self) -> bool:
        """Waits a moment for switches; gives whether other strategies are paused than before."""
        before = self.paused
        self._take(await self._reader.changes())
        return self.paused != before

    async def close(self) -> None:
        """Stops following."""
        await self._reader.close()

    def _take(self, records: Iterable[ControlRecord]) -> None:
        changed: dict[str, Switch] = {}
        for record in records:
            found = read_switch(record.key, record.value)
            if found is not None:
                changed[found[0]] = found[1]
        for name, switch in changed.items():
            before = self._switches.get(name)
            self._switches[name] = switch
            if switch.paused or (before is not None and before.paused):
                self._tell(name, switch)
        self.paused = paused_of(self._switches, self._strategies)

    def _tell(self, name: str, switch: Switch) -> None:
        is_known = name == EVERYTHING or name in self._strategies
        log_event(
            "paused" if switch.paused else "resumed", level=logging.WARNING,
            strategy="everything" if name == EVERYTHING else name, by=switch.by or None,
            reason=switch.reason or None, at=switch.at or None,
            unknown=None if is_known else True,
        )  # fmt: skip
