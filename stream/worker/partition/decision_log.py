"""How far a partition has come in the decision topic, and what of it an earlier owner has published.

What was published beyond the newest marker is not decided again: `stream.worker.adoption` reads it when the
partition begins, and it waits here until its events have come.

Pure: no Kafka, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stream.decisions.published import Published
from stream.record_order import places_before


@dataclass(slots=True)
class DecisionLog:
    """The decision topic, as the owner of a partition knows it.

    Attributes:
        begin: Before this offset all decisions are about events that the newest marker covers.
        end: Offset after the last decision that is known to be there.
        published: By event topic, decisions beyond `begin` whose events have yet to come.
    """

    begin: int = 0
    end: int = 0
    published: dict[str, Published] = field(default_factory=dict)

    def acknowledged(self, end: int) -> None:
        """Notes that this worker has published up to an offset."""
        self.end = max(self.end, end)

    def covered(self, position: Mapping[str, int]) -> int:
        """Where one who takes over would begin to read, if a marker covered all that was taken.

        Args:
            position: Next offset by event topic: everything before is taken.
        """
        for topic, published in list(self.published.items()):
            if published.end <= places_before(position.get(topic, 0)):
                del self.published[topic]
        if not self.published:
            self.begin = self.end
        return self.begin
