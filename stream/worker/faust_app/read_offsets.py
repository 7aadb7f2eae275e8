"""Which offsets Faust takes for read."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from faust.types import TP


class ReadOffsets(dict[TP, int | None]):
    """The offsets that Faust read last, of event topics none: what begins before them it would drop.

    A chunk that is read again may begin before the last one that was read, and end after it. What of a
    chunk is new, the intake knows.

    Args:
        is_event_topic: Whether a topic is one of events.
    """

    def __init__(self, is_event_topic: Callable[[str], bool]) -> None:
        super().__init__()
        self._is_event_topic = is_event_topic

    def __missing__(self, tp: TP) -> None:
        return None

    def __setitem__(self, tp: TP, offset: int | None) -> None:
        if not self._is_event_topic(tp.topic):
            super().__setitem__(tp, offset)

    def update(self, offsets: Mapping[TP, int | None]) -> None:  # type: ignore[override]
        """As Faust calls it."""
        for tp, offset in offsets.items():
            self[tp] = offset
