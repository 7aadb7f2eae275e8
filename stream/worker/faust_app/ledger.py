"""Which offsets of a partition may be committed: those before the first chunk that is not done.

Pure bookkeeping, no Faust. Chunks are added in the order of their offsets and may be done in any
order; what is committable is always a contiguous prefix.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from typing import Any


class _Entry:
    __slots__ = ("done", "message", "next_offset")

    def __init__(self, next_offset: int, message: Any) -> None:
        self.next_offset = next_offset
        self.message = message  # held, since Faust knows it by weak reference only
        self.done = False


class Ledger:
    """Chunks handed out and not yet committed, by partition."""

    def __init__(self) -> None:
        self._entries: dict[Hashable, deque[_Entry]] = {}

    def add(self, tp: Hashable, next_offset: int, message: Any) -> None:
        """Remembers a chunk that was handed out; `next_offset` is the offset after it."""
        self._entries.setdefault(tp, deque()).append(_Entry(next_offset, message))

    def done(self, tp: Hashable, message: Any) -> bool:
        """Marks a chunk as done; False when it is not known (any more)."""
        for entry in self._entries.get(tp, ()):
            if entry.message is message:
                entry.done = True
                return True
        return False

    def take(self, tp: Hashable) -> int | None:
        """Offset that may be committed now, None when nothing new is done."""
        entries = self._entries.get(tp)
        offset = None
        while entries and entries[0].done:
            offset = entries.popleft().next_offset
        return offset

    def give_back(self, tp: Hashable, offset: int) -> None:
        """An offset that was taken could not be committed: the next `take` gives it, or a later one."""
        entry = _Entry(offset, None)
        entry.done = True
        self._entries.setdefault(tp, deque()).appendleft(entry)

    def partitions(self) -> Iterator[Any]:
        """Partitions with chunks handed out."""
        return iter(list(self._entries))

    def pending(self) -> int:
        """Chunks that are not done."""
        return sum(not entry.done for entries in self._entries.values() for entry in entries)

    def forget(self, tp: Hashable | None = None) -> None:
        """Forgets one partition or all: their chunks will be read again."""
        if tp is None:
            self._entries.clear()
        else:
            self._entries.pop(tp, None)
