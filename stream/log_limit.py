"""At most so many lines of one kind: a library that repeats itself must not fill a disk.

The first few lines of a kind in an interval get through; when the interval is over, one line says how
many more there were. Kinds are told apart by logger, level and message without its numbers.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

FIRST = 5
"""Lines of a kind that get through in an interval."""

INTERVAL_S = 10.0
_KINDS_MAX = 512
_NUMBER = re.compile(r"0x[0-9a-fA-F]+|\d+")


class Kind(NamedTuple):
    """What lines have in common."""

    logger: str
    level: int
    template: str


_OTHERS = Kind("opportune", logging.ERROR, "lines of many other kinds")


@dataclass(slots=True)
class _Count:
    since_s: float
    lines: int = 0


class Limit:
    """Counts lines by kind; the caller has the clock.

    Args:
        first: Lines of a kind that get through in an interval.
        interval_s: Length of an interval, which begins with a line.
    """

    def __init__(self, first: int = FIRST, interval_s: float = INTERVAL_S) -> None:
        self._first = first
        self._interval_s = interval_s
        self._counts: dict[Kind, _Count] = {}

    def admit(self, kind: Kind, now_s: float) -> bool:
        """Whether a line of this kind gets through now; call `over` before."""
        if kind not in self._counts and len(self._counts) >= _KINDS_MAX:
            kind = _OTHERS  # bounded memory, and of so many kinds at once none is news
        count = self._counts.setdefault(kind, _Count(now_s))
        count.lines += 1
        return count.lines <= self._first

    def over(self, now_s: float) -> list[tuple[Kind, int, float]]:
        """Kinds whose interval has ended, each with the lines held back and its length in seconds."""
        ended = [kind for kind, c in self._counts.items() if now_s - c.since_s >= self._interval_s]
        counts = [(kind, self._counts.pop(kind)) for kind in ended]
        return [
            (kind, count.lines - self._first, now_s - count.since_s)
            for kind, count in counts
            if count.lines > self._first
        ]


class LimitFilter(logging.Filter):
    """Holds back repeated lines of libraries; the worker's own all get through.

    Those tell what was held back: a summary comes every few seconds.

    Args:
        emit: Writes a record past this filter.
        limit: Counts the lines.
        clock_s: The time, seconds.
    """

    def __init__(
        self,
        emit: Callable[[logging.LogRecord], None],
        limit: Limit | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._emit = emit
        self._limit = limit or Limit()
        self._clock_s = clock_s
        self._lock = threading.Lock()  # a filter is asked before its handler takes a lock

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line gets through; tells before of those that did not."""
        now_s = self._clock_s()
        with self._lock:
            over = self._limit.over(now_s)
            admitted = hasattr(record, "evt") or self._limit.admit(_kind(record), now_s)
        for kind, more, took_s in over:
            self._emit(_more(kind, more, took_s))
        return admitted


def _kind(record: logging.LogRecord) -> Kind:
    return Kind(record.name, record.levelno, _NUMBER.sub("#", str(record.msg)))


def _more(kind: Kind, lines: int, took_s: float) -> logging.LogRecord:
    text = f"... {lines} more like it in {took_s:.0f} s: {kind.template}"
    return logging.LogRecord(kind.logger, kind.level, "", 0, text, None, None)
