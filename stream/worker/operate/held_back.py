"""Records that a transaction holds back: they are on the topic, and nobody may read them yet.

The lag counts what can be read. A producer that died within a transaction would so go unseen: the lag
is 0, and what came after its first record waits for `transaction.timeout.ms`, or for ever.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from stream.log import log_event

_STUCK_S = 60.0
Ends = tuple[int, int]
"""Offset up to which a partition can be read, and the offset after its last record."""


class HeldBack:
    """Looks at the ends of partitions, summary after summary."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[int, float]] = {}
        self._told: set[str] = set()

    def look(self, ends: Mapping[str, Ends], now_s: float) -> None:
        """Writes a line for each partition whose readable end has not moved for a minute.

        Args:
            ends: By partition.
            now_s: The time by any clock that only goes on, seconds.
        """
        held = {tp: (stable, end) for tp, (stable, end) in ends.items() if stable < end}
        self._since = {tp: since for tp, since in self._since.items() if tp in held}
        self._told &= set(held)
        for tp, (stable, end) in held.items():
            before, since_s = self._since.get(tp, (stable, now_s))
            if before != stable:  # a transaction has ended, and another is open
                since_s = now_s
                self._told.discard(tp)
            self._since[tp] = stable, since_s
            if now_s - since_s >= _STUCK_S and tp not in self._told:
                self._told.add(tp)
                log_event(
                    "held_back", level=logging.WARNING, tp=tp, records=end - stable, offset=stable,
                    reason=f"expected an open transaction to end within {_STUCK_S:g} s, got offset "
                    f"{stable} as the end of what can be read, and {end} as that of the log. Operator "
                    "action: look for a producer that hangs (`kafka-transactions.sh find-hanging`)",
                )  # fmt: skip


def held_records(ends: Mapping[str, Ends]) -> int:
    """Records that cannot be read yet."""
    return sum(end - stable for stable, end in ends.values())
