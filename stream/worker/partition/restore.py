"""Restoring a partition from its changelog: where that begins, what continues it, when it is whole.

A block that holds a part of a changelog looks like any other, and its newest marker says that everything
is in it. So none decides before it has gone through here, whatever Faust remembers of it.

Rules of this file
1. What is not there is restored from the first record of its changelog.
2. What was kept, over a rebalance or on disk, goes on at the last marker that it contains, and only if
   that record still stands there, byte for byte. Otherwise rule 1 holds.
3. Only what continues is applied. What is missing is asked for again.
4. Whole is what was read to the end that the changelog had, has come by a marker, and has as many rows
   as the marker counts. Anything else is refused, and nothing is ever written from it.

Pure: no Kafka, no clock.
"""

from __future__ import annotations

from stream.columns import RecordChunk, split
from stream.errors import StateError
from stream.state import changelog
from stream.state.marker import MARKER_KEY, Anchor, Progress
from stream.state.table import CustomerTable


class NotRestored(RuntimeError):
    """A partition begins before its restore is through: a fault of the worker, not of the data."""


class Unproven(ValueError):
    """What was kept of a partition is not what its changelog says."""


class Restore:
    """A restore under way.

    Args:
        first: First offset of the changelog that is left.
        begin: Where this restore begins.
        end: Offset after the last record that was there when it began.
        proof: Value of the marker that has to stand at `begin`; None for a restore from `first`.

    Attributes:
        first: See above.
        end: See above.
        next_offset: Everything from `begin` up to here is restored.
    """

    def __init__(self, first: int, begin: int, end: int, proof: bytes | None = None) -> None:
        self.first = first
        self.end = end
        self.next_offset = begin
        self._begin = begin
        self._proof = proof

    @classmethod
    def after(cls, anchor: Anchor, first: int, end: int) -> Restore:
        """A restore that goes on where a block was kept."""
        return cls(first, anchor.offset, end, anchor.value)

    @property
    def remaining(self) -> int:
        """Offsets that are still to come."""
        return max(0, self.end - self.next_offset)

    def missing(self, start: int) -> int | None:
        """Offset to read again from, when a chunk leaves something out.

        Args:
            start: Offset that was asked for when the chunk was fetched: it is complete from there on.
        """
        return self.next_offset if start > self.next_offset else None

    def read(
        self, chunk: RecordChunk, table: CustomerTable, progress: Progress, offset_words: slice
    ) -> None:
        """Applies a chunk that leaves nothing out.

        Args:
            chunk: Records of the changelog.
            table: Receives the rows.
            progress: Receives what markers say.
            offset_words: The words of a row that hold the next offset of each event topic.

        Raises:
            Unproven: The marker that has to stand at the beginning does not.
            StateError: A record cannot be read.
        """
        if chunk.next_offset <= self.next_offset:
            return
        chunk = split(chunk, self.next_offset)[1]
        if self._proof is not None:
            if not _begins_with(chunk, self._begin, self._proof):
                raise Unproven(f"its marker does not stand at offset {self._begin}")
            self._proof = None
        changelog.apply_chunk(chunk, table, offset_words, progress)
        self.next_offset = chunk.next_offset

    def check(self, table: CustomerTable, progress: Progress, where: str) -> None:
        """Makes sure that what was restored is whole.

        Args:
            table: What was restored.
            progress: What its markers say.
            where: The changelog partition, for messages.

        Raises:
            NotRestored: The restore is not through.
            StateError: It is, and records are missing.
        """
        if self.remaining:
            raise NotRestored(
                f"{where}: expected a restore up to offset {self.end} before its partition begins, "
                f"got one up to {self.next_offset}"
            )
        rows, first = len(table), self.first
        if (
            progress.anchor is None and rows and first > 0
        ):  # no worker writes rows and never a marker
            expected = f"a marker in offsets {first} to {self.end}, got rows alone ({rows})"
            raise _incomplete(where, expected)
        if rows + len(progress.erased) < progress.rows:
            expected = f"the {progress.rows} rows that its newest marker counts, got {rows}"
            raise _incomplete(where, expected)


def _incomplete(where: str, expected: str) -> StateError:
    return StateError(
        f"{where}: expected {expected}: records of the changelog are missing. Operator action: make its "
        "cleanup.policy `compact` alone; stop the workers, delete the topic and start again: the table "
        "is rebuilt from the event topics, silently up to the committed offsets"
    )


def _begins_with(chunk: RecordChunk, offset: int, marker: bytes) -> bool:
    return (
        len(chunk) > 0
        and int(chunk.offset[0]) == offset
        and chunk.key[0] == MARKER_KEY
        and chunk.value[0] == marker
    )
