"""Several topics: none decides before all of them have rebuilt the table.

A new layout of the table is rebuilt in silence, each topic up to where it was committed. One that is
through would decide on rows that lack what the others are still to bring, so it waits there. What
comes beyond is not kept but read again later: it may be more than fits into memory.

Pure: no Kafka, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stream.worker.order.steps import Run


class Rebuild:
    """Which topics of a partition have rebuilt their part of the table, and which wait for that.

    Args:
        silent_until: By event topic, the offset before which events only rebuild the table.
        ends: Offset after the last record, by event topic: no topic is waited for beyond it.

    Attributes:
        target: By event topic, up to where all are to come before any goes beyond.
        waiting: Topics of which something came that has to be read again.
    """

    def __init__(
        self, silent_until: Mapping[str, int] | None = None, ends: Mapping[str, int] | None = None
    ) -> None:
        self._silent_until = dict(silent_until or {})
        self.target = {
            topic: min(offset, (ends or {}).get(topic, 0))
            for topic, offset in self._silent_until.items()
        }
        self.waiting: set[str] = set()

    def behind(self, position: Mapping[str, int]) -> list[str]:
        """Topics that are still to bring something, by the offsets that are in the table."""
        return [topic for topic, end in self.target.items() if position.get(topic, 0) < end]

    def limit(self, topic: str, position: Mapping[str, int]) -> int | None:
        """Offset that a topic may not pass as long as others are behind; None when none is."""
        if any(other != topic for other in self.behind(position)):
            return self._silent_until.get(topic, 0)
        return None

    def cut(self, runs: Sequence[Run], position: Mapping[str, int]) -> list[Run]:
        """The runs that an earlier worker announced, as far as it can have come in them.

        A run is announced ahead: the last one may end beyond where its topic had to wait.
        """
        reached, cut = dict(position), list[Run]()
        for topic, end in runs:
            limit = self.limit(topic, reached)
            cut.append(Run(topic, end if limit is None else min(end, limit)))
            reached[topic] = max(reached.get(topic, 0), cut[-1].end)
        return cut
