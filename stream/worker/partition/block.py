"""The state of one partition: what it holds, how far it goes, what it has yet to write.

Pure bookkeeping over `CustomerTable`, no Faust.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from stream.columns import Int64s, RecordChunk
from stream.contacts.contact_table import ContactTable
from stream.state.changelog import markers
from stream.state.marker import Anchor, Progress, Source
from stream.state.table import CustomerTable
from stream.worker.order.replay import Replay
from stream.worker.order.steps import Announcer, Run, announces
from stream.worker.partition.decision_log import DecisionLog
from stream.worker.partition.lifecycle import State
from stream.worker.partition.rebuild import cut, targets
from stream.worker.partition.restore import Restore

_ROWS_AT_ONCE = 65_536


@dataclass(slots=True)
class Contacts:
    """The contacts of a partition.

    Attributes:
        table: Their rows, by the numbers of the customers' rows.
        end: Offset after the newest record of their changelog that this worker has read or written.
        told: Digests of the layouts that the changelog tells.
    """

    table: ContactTable
    end: int
    told: set[str]


@dataclass(slots=True)
class Block:
    """State of one partition.

    Attributes:
        state: Where it is in its life; changed by `Blocks` alone.
        table: The customers.
        progress: What the changelog's marker says: everything before `progress.covered` is decided
            and written.
        restore: The restore under way, while the block is restoring.
        position: Next offset by event topic: everything before is in the table.
        expected: Next offset by event topic that is to come: `position`, and what is held back.
            Empty unless the block is active.
        silent_until: By event topic, the offset before which events only rebuild the table, since
            their decisions were published by an earlier layout of it.
        changelog_end: Offset of the newest changelog record that this worker has read or written.
        reached_ms: With several event topics, by topic the newest event time before `position`.
        order: In which order several topics are taken.
        replay: Chunks held back until it is their turn.
        waiting: Topics of which something came that has to be read again, since others are behind.
        asked: Topics that the broker was asked about, whether retention has left anything.
        erased: Customers whose tombstones this worker has still to write.
        sources: By event topic, the log that `position` counts in.
        owes_marker: Whether the marker is to be written though no event has come.
        has_claimed: Whether an order of topics was announced since the block began.
        contacts: What its customers were contacted with, None without rules about it.
        decisions: How far the decision topic is known, and what an earlier owner has published.
        is_contested: Whether another worker has, that it has not restored: see `claims`.
    """

    table: CustomerTable
    state: State = State.KEPT
    progress: Progress = field(default_factory=Progress)
    restore: Restore | None = None
    position: dict[str, int] = field(default_factory=dict)
    expected: dict[str, int] = field(default_factory=dict)
    reached_ms: dict[str, int] = field(default_factory=dict)
    silent_until: dict[str, int] = field(default_factory=dict)
    changelog_end: int = -1
    order: Announcer = field(default_factory=Announcer)
    replay: Replay = field(default_factory=lambda: Replay([], {}))
    waiting: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
    erased: set[bytes] = field(default_factory=set)
    sources: dict[str, Source] = field(default_factory=dict)
    owes_marker: bool = False
    has_claimed: bool = False
    is_contested: bool = False
    contacts: Contacts | None = None
    decisions: DecisionLog = field(default_factory=DecisionLog)

    def read(self, start: int, chunk: RecordChunk, offset_words: slice) -> int | None:
        """Applies a chunk of the changelog, while the block is being restored.

        Args:
            start: Offset that was asked for when the chunk was fetched.
            chunk: Records of the changelog.
            offset_words: The words of a row that hold the next offset of each event topic.

        Returns:
            Offset to read from instead of going on, None to go on.

        Raises:
            Unproven: The block was kept, and is not what the changelog says.
            StateError: A record cannot be read.
        """
        assert self.restore is not None, "only a block that is being restored is read into"
        missing = self.restore.missing(start)
        if missing is None:
            self.restore.read(chunk, self.table, self.progress, offset_words)
        return missing

    def become_whole(self, changelog: str) -> None:
        """Ends the restore.

        Args:
            changelog: The changelog partition, for messages.

        Raises:
            NotRestored: It is not through.
            StateError: What came is not a whole table.
        """
        assert self.restore is not None, "a block that begins was restored"
        self.restore.check(self.table, self.progress, changelog)
        self.changelog_end = self.restore.end - 1
        self.restore = None

    def begin(self, committed: Mapping[str, int | None], ends: Mapping[str, int]) -> None:
        """Sets the positions to read from, after a restore or a rebalance.

        The changelog's marker knows best: what it covers is decided and written, whether or not
        the group's commit came through. A commit beyond it was made by an earlier layout of the
        table: what lies between is read silently.

        Args:
            committed: Committed offset by event topic, None for none.
            ends: Offset after the last record, by event topic.
        """
        covered = self.progress.covered
        self.position = {topic: covered.get(topic, 0) for topic in committed}
        self.expected = dict(self.position)
        self.sources = dict(self.progress.sources)
        for topic, offset in committed.items():
            if offset and offset > self.position[topic]:
                self.silent_until[topic] = offset
        self.reached_ms = dict(self.progress.reached_ms)
        runs = [Run(*run) for run in self.progress.order]
        runs = cut(runs, self.position, self.silent_until, ends, self.progress.aligned)
        self.order = Announcer(runs, self.progress.aligned, ends)
        if len(committed) > 1:
            self.order.align(self.position, targets(self.silent_until, ends), silent=True)
            self.order.align(self.position, ends)
        self.replay = Replay(
            self.order.beyond(covered), ends, self.position, self.reached_ms, list(committed)
        )
        self.asked.clear()
        self.waiting.clear()
        self.has_claimed = self.is_contested = False

    def awaited(self, topic: str) -> list[str]:
        """Topics that `topic` may have to wait for, of which nothing has come or was asked yet."""
        topics = {*self.replay.awaited} - self.asked - {topic}
        return [t for t in sorted(topics) if self.expected.get(t) == self.position.get(t, 0)]

    def took(self, chunk: RecordChunk, newest_ms: int = -1) -> None:
        """A chunk is in the table now, with the time of its newest event, -1 for none."""
        source = self.sources.get(chunk.topic, Source())
        if chunk.leader_epoch > source.leader_epoch:  # first: it may be looked at in between
            self.sources[chunk.topic] = source.reached(chunk.leader_epoch)
        if newest_ms >= 0 and len(self.position) > 1:
            self.reached_ms[chunk.topic] = max(self.reached_ms.get(chunk.topic, -1), newest_ms)
        self.position[chunk.topic] = chunk.next_offset

    def skip(self, topic: str, offset: int) -> None:
        """Nothing of a topic comes any more before an offset."""
        if self.position[topic] == self.expected[topic]:  # nothing is held back
            self.position[topic] = offset
        self.replay.skip(topic, offset)
        self.expected[topic] = offset

    def wrote(self, marker: Anchor, records: int) -> bool:
        """Notes that this worker wrote to the changelog.

        Args:
            marker: The last record.
            records: How many, since it was noted last.

        Returns:
            False when others wrote there, too. What they know is not in the table.
        """
        alone = marker.offset == self.changelog_end + records
        if alone:
            self.contains(marker)
        return alone

    def hear_markers(self, chunk: RecordChunk) -> None:
        """Looks for announcements of others in records of the changelog that were not restored."""
        for marker in markers(chunk):
            newer = marker.generation > self.progress.generation
            older = marker.generation < self.progress.generation
            self.is_contested |= newer or (older and not self.has_claimed and announces(marker))

    def contains(self, marker: Anchor) -> None:
        """Notes that the table knows all of the changelog up to a marker of its own."""
        self.progress.anchor = marker
        self.changelog_end = marker.offset

    @property
    def is_settled(self) -> bool:
        """Whether the changelog covers every event that is in the table."""
        covered = self.progress.covered
        return all(covered.get(topic, 0) == offset for topic, offset in self.position.items())

    @property
    def has_unwritten(self) -> bool:
        """Whether the block says something that the changelog does not."""
        table = self.table
        contacts = self.contacts is not None and self.contacts.table.has_dirty
        has_gone = bool(self.erased or table.forgotten)
        return table.has_dirty or has_gone or self.owes_marker or contacts

    def taken(self, topics: Sequence[str]) -> Int64s:
        """Next offset of each topic, as rows have it: every event before it was taken. Shape (topics,)."""
        words = (self.sources.get(t, Source()).word(self.position.get(t, 0)) for t in topics)
        return np.fromiter(words, np.int64, len(topics))

    def find_forgotten(self, offset_words: slice) -> None:
        """Looks for rows of which only next offsets are left: their tombstones were taken before a restore."""
        words = self.table.state.view(np.int64)
        for first in range(0, len(words), _ROWS_AT_ONCE):
            some = words[first : first + _ROWS_AT_ONCE]
            known = some[:, : offset_words.start].any(axis=1)
            known |= some[:, offset_words.stop :].any(axis=1)
            empty = first + np.flatnonzero(~known)
            self.table.forgotten.update(np.intersect1d(empty, self.table.live).tolist())

    def let_go(self, covered: Int64s, offset_words: slice) -> None:
        """Erases the rows of customers who are forgotten and of whom nothing is left to be known.

        A row stays while an event of before its tombstone may come again, which it tells by its next
        offsets, and for as long as it has something that the customer forbids, or who has come back.

        Args:
            covered: As `taken` was when a marker was made that is durable now. Shape (topics,), int64.
            offset_words: The words of a row that hold the next offset of each event topic.
        """
        for row in sorted(self.table.forgotten):
            words = self.table.state[row].view(np.int64)
            if (words[offset_words] > covered).any():
                continue
            self.table.forgotten.discard(row)
            if not words[: offset_words.start].any() and not words[offset_words.stop :].any():
                self.erased.add(self.table.key(row))
                self.table.erase(np.array([row]))
                if self.contacts is not None:
                    self.contacts.table.erase(np.array([row]))

    def take_erased(self) -> list[bytes]:
        """Customers whose tombstones are to be written; forgets them.

        One who has come back meanwhile has a row again, which takes the place of the tombstone.
        """
        erased, self.erased = self.erased, set()
        return sorted(key for key in erased if self.table.find(key) < 0)
