"""Several topics: none decides before all of them have rebuilt the table.

A new layout of the table is rebuilt in silence, each topic up to where it was committed. One that is
through would decide on rows that lack what the others are still to bring, so it waits there. What
comes beyond is not kept but read again later: it may be more than fits into memory.

Pure: no Kafka, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping


class Rebuild:
    """Which topics of a partition have rebuilt their part of the table, and which wait for that.

    Args:
        silent_until: By event topic, the offset before which events only rebuild the table.
        ends: Offset after the last record, by event topic: no topic is waited for beyond it.

    Attributes:
        waiting: Topics of which something came that has to be read again.
    """

    def __init__(
        self, silent_until: Mapping[str, int] | None = None, ends: Mapping[str, int] | None = None
    ) -> None:
        self._silent_until = dict(silent_until or {})
        self._target = {
            topic: min(offset, (ends or {}).get(topic, 0))
            for topic, offset in self._silent_until.items()
        }
        self.waiting: set[str] = set()

    def behind(self, position: Mapping[str, int]) -> list[str]:
        """Topics that are still to bring something, by the offsets that are in the table."""
        return [topic for topic, end in self._target.items() if position.get(topic, 0) < end]

    def limit(self, topic: str, position: Mapping[str, int]) -> int | None:
        """Offset that a topic may not pass as long as others are behind; None when none is."""
        if any(other != topic for other in self.behind(position)):
            return self._silent_until.get(topic, 0)
        return None
