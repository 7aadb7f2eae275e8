"""What a reading of the history lacks, and for which time.

A source says where records are missing, as an empty chunk among the others. What that means is found
here, in event time: after a gap features are not those that the worker has, and in it outcomes may
have taken place that nobody reads.

Rules of this file
1. A gap comes before the first chunk after it, and an open one, which has no end, at any time. Those
   of a partition of a topic depend on that partition of that topic alone, so that it does not matter
   which topic is read first.
2. Nobody knows when missing events took place, only what came before and after them. All of the time
   in between counts as missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from stream.columns import Bools, Int64s, RecordChunk, Spans

RETENTION = "removed by retention"
NOT_ARCHIVED = "not in the archive"
LOST = "lost before they were archived"
ERASED = "erased from the archive"
OFFSETS = "left out by --offsets"
SINCE = "left out by --since"
HISTORY = "left out by training.history"
SKIPPED = "left out by topics.skip"

BEGINNING_MS, NEVER_MS = -(2**61), 2**61
"""Before and after all times; their sums with durations are still int64."""


@dataclass(frozen=True, slots=True)
class Gap(RecordChunk):
    """No records: those from `next_offset` on are missing.

    Attributes:
        until: Offset before which they are missing, None when it is not known that any follow.
        why: What has become of them, in words.
        until_ms: Event time before which events are left out, when that is how they were chosen.
    """

    until: int | None = None
    why: str = ""
    until_ms: int | None = None

    @classmethod
    def of(
        cls,
        topic: str,
        partition: int,
        start: int,
        until: int | None,
        why: str,
        until_ms: int | None = None,
    ) -> Gap:
        """The offsets [start, until) are missing."""
        none, nothing = np.empty(0, np.int64), Spans.of(())
        return cls(
            topic, partition, none, none, nothing, nothing, start,
            until=until, why=why, until_ms=until_ms,
        )  # fmt: skip


class Older(NamedTuple):
    """Records that were left out because their events are older than asked for.

    Attributes:
        earliest_ms: Record timestamp from which on records are read, epoch milliseconds.
        until_ms: Event time from which on events count, epoch milliseconds.
        why: Who asked for it.
    """

    earliest_ms: int
    until_ms: int
    why: str


def edges(
    topic: str,
    partition: int,
    held: tuple[int, int],
    wanted: tuple[int, int] | None,
    older: Older | None,
    gone: str,
) -> Iterator[Gap]:
    """What is missing before and after what is read of a partition.

    Args:
        topic: Name of the topic.
        partition: Number of the partition.
        held: Offsets [begin, end) that are there.
        wanted: Those of them that the bounds name; None when they leave out the partition.
        older: Which records were left out at the front because of their age; None for none.
        gone: What has become of the offsets before those that are there, in words.
    """
    begin, end = held
    if wanted is None:
        if end > 0:
            yield Gap.of(topic, partition, 0, end, OFFSETS)
        return
    start, stop = wanted
    if older is not None:
        yield Gap.of(topic, partition, 0, start, older.why, older.until_ms)
    elif start > 0:
        yield Gap.of(topic, partition, 0, start, OFFSETS if start > begin else gone)
    if stop < end:
        yield Gap.of(topic, partition, stop, None, OFFSETS)


@dataclass(frozen=True, slots=True)
class Missing:
    """A gap of one partition of a topic, in event time.

    Attributes:
        topic: Name of the topic.
        partition: Number of the partition.
        start: First offset that is missing.
        until: Offset after the last, None when it is not known that any follow.
        why: What has become of them, in words.
        after_ms: Newest event before it, `BEGINNING_MS` without one; epoch milliseconds.
        before_ms: First event after it, `NEVER_MS` without one; epoch milliseconds.
        chosen: Whether all events of before `before_ms` are left out, and no others.
    """

    topic: str
    partition: int
    start: int
    until: int | None
    why: str
    after_ms: int
    before_ms: int
    chosen: bool = False


class _Place:
    """One partition of a topic while it is read."""

    def __init__(self) -> None:
        self.oldest_ms, self.newest_ms = NEVER_MS, BEGINNING_MS
        self.closed: list[Missing] = []
        self.ahead: list[tuple[Gap, int]] = []  # with the newest event before it
        self.open: Gap | None = None


class GapTracker:
    """Finds the times of gaps while the chunks of a history come in."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, int], _Place] = {}

    def mark(self, gap: Gap) -> None:
        """Takes in a gap."""
        place = self._place(gap.topic, gap.partition)
        if gap.until_ms is not None:
            self.leave_out(gap.topic, gap.partition, gap.until_ms, gap.why)
        elif gap.until is None:
            place.open = gap
        else:
            place.ahead.append((gap, place.newest_ms))

    def leave_out(self, topic: str, partition: int, until_ms: int, why: str) -> None:
        """Events of before a time are left out, and there are some."""
        missing = Missing(topic, partition, 0, None, why, BEGINNING_MS, until_ms, chosen=True)
        place = self._place(topic, partition)
        if missing not in place.closed:
            place.closed.append(missing)

    def pass_by(self, topic: str, partition: int, reached_ms: Int64s) -> None:
        """Takes in events that follow, by how far each brings the history. Shape (n,), n > 0."""
        place = self._place(topic, partition)
        for gap, after_ms in place.ahead:
            before_ms = max(after_ms, int(reached_ms[0]))
            place.closed.append(_missing(gap, after_ms, before_ms))
        place.ahead = []
        place.oldest_ms = min(place.oldest_ms, int(reached_ms.min()))
        place.newest_ms = max(place.newest_ms, int(reached_ms.max()))

    def missing(self) -> list[Missing]:
        """All gaps, in the order of topics, partitions and offsets."""
        found = []
        for _, place in sorted(self._places.items()):
            found += place.closed
            found += [_missing(gap, after_ms, NEVER_MS) for gap, after_ms in place.ahead]
            if place.open is not None:
                found.append(_missing(place.open, place.newest_ms, NEVER_MS))
        return found

    def newest_ms(self, topic: str) -> int:
        """Newest event of a topic in any partition."""
        times = (place.newest_ms for (t, _), place in self._places.items() if t == topic)
        return max(times, default=BEGINNING_MS)

    def start_ms(self, partition: int) -> int:
        """Oldest event of a partition in any topic."""
        times = (place.oldest_ms for (_, p), place in self._places.items() if p == partition)
        return min(times, default=NEVER_MS)

    def _place(self, topic: str, partition: int) -> _Place:
        return self._places.setdefault((topic, partition), _Place())


def _missing(gap: Gap, after_ms: int, before_ms: int) -> Missing:
    return Missing(
        gap.topic, gap.partition, gap.next_offset, gap.until, gap.why, after_ms, before_ms
    )


def unread_ms(missing: Sequence[Missing]) -> Int64s:
    """Open intervals of event time in which events may be missing. Shape (g, 2), int64.

    Events that were left out by their time are not among them: what they say of is left out as well.
    """
    return _intervals([(one.after_ms, one.before_ms) for one in missing if not one.chosen])


def cold_ms(missing: Sequence[Missing], start_ms: int, warm_up_ms: int) -> Int64s:
    """Open intervals of event time in which features are not those of a whole history.

    An end that is not known to be one, such as that of an archive, does not count: a topic in which
    little happens would have one long before the others. Nor does what the skip list leaves out: the
    worker has not seen it either.

    Args:
        missing: Gaps of one partition in all of its topics.
        start_ms: Where the partition begins: all that a topic had before, when nothing is left of it.
        warm_up_ms: How long after a gap features need to become those of a whole history.

    Returns:
        Shape (g, 2), int64.
    """
    return _intervals([
        (one.after_ms, (start_ms if one.before_ms == NEVER_MS else one.before_ms) + warm_up_ms)
        for one in missing
        if one.chosen or (one.until is not None and one.why != SKIPPED)
    ])  # fmt: skip


def _intervals(pairs: Sequence[tuple[int, int]]) -> Int64s:
    return np.array(pairs, np.int64).reshape(-1, 2)


def _none() -> Int64s:
    return _intervals(())


@dataclass(frozen=True, slots=True, eq=False)
class Extent:
    """How far the history of one partition goes, and what it lacks, in open intervals of event time.

    Attributes:
        end_ms: When the history ends, epoch milliseconds.
        known_ms: Until when outcomes are known, see `trainer.history.lag`.
        unread_ms: Here may be outcomes that were not read. Shape (g, 2), int64.
        untold_ms: Here may be treatments that were not read. Shape (h, 2), int64.
        cold_ms: Here features are not those that the worker has, so that there are to be no examples.
            Shape (i, 2), int64.
    """

    end_ms: int
    known_ms: int = NEVER_MS
    unread_ms: Int64s = field(default_factory=_none)
    untold_ms: Int64s = field(default_factory=_none)
    cold_ms: Int64s = field(default_factory=_none)


def reach_into(intervals_ms: Int64s, first_ms: Int64s, last_ms: Int64s) -> Bools:
    """Which of the times from first to last share some with one of the open intervals.

    Args:
        intervals_ms: Shape (g, 2), int64.
        first_ms: Shape (n,), int64.
        last_ms: Shape (n,), int64.

    Returns:
        Shape (n,), bool.
    """
    found = np.zeros(len(first_ms), np.bool_)
    for after_ms, before_ms in intervals_ms.tolist():
        found |= (last_ms > after_ms) & (first_ms < before_ms)
    return found
