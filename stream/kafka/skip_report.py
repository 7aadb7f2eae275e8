"""What is said and counted of records that the skip list leaves out: never nothing.

The list is told once at the start of whatever reads, and each time that it was applied.
"""

from __future__ import annotations

import logging
from typing import Any

from stream.kafka.skip_list import ReadRules, Skipped
from stream.log import log_event


def log_skip_list(rules: ReadRules) -> None:
    """One warning for each range of offsets that nobody reads."""
    for (topic, partition), ranges in sorted(rules.skips.items()):
        for start, until in ranges:
            log_event("skip", level=logging.WARNING, **_place(topic, partition, start, until - 1))


def log_skipped(skipped: Skipped) -> None:
    """One warning for what was left out of a fetch."""
    place = _place(skipped.topic, skipped.partition, skipped.first, skipped.last)
    log_event("skipped", level=logging.WARNING, **place, records=skipped.records)


def _place(topic: str, partition: int, first: int, last: int) -> dict[str, Any]:
    return {"topic": topic, "partition": partition, "from": first, "to": last}


class SkipCount:
    """Tells and counts what the consumer of a worker leaves out.

    Filled in the thread that fetches, and read in the main one.

    Attributes:
        records: Records left out since the start. Those that are fetched again count again.
    """

    def __init__(self) -> None:
        self.records = 0
        self._told = 0

    def add(self, skipped: Skipped) -> None:
        """Tells of records and counts them."""
        log_skipped(skipped)
        self.records += skipped.records

    def since_last(self) -> int:
        """How many there were since this was asked last."""
        now = self.records
        new, self._told = now - self._told, now
        return new
