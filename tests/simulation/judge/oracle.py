"""What is right: everything recomputed from the event topics, slowly and in one piece.

1 every event is decided, or has its dead letter
2 no event is counted twice or left out: the rows are, byte for byte, those of the recomputation
3 what is published twice is the same, but for the wall clock
4 nothing is committed before its decisions, its rows and the marker that covers it are written
5 what is published first is right
6 of the events with one id the first one is decided, and no other
7 what lies in the decision topic is not decided again, whatever the model, the layout or the clock is now
8 the contact rows are, byte for byte, those that the published decisions make
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from faust.types import TP

from stream.columns import Int64s, RecordChunk, Spans, split
from stream.kafka.records import RecordReader
from stream.state import changelog
from stream.state.marker import MARKER_KEY, Marker, Stretch
from stream.state.table import CustomerTable
from tests.simulation.broker import Log
from tests.simulation.campaigns import DECISIONS, LETTERS, Setup
from tests.simulation.judge.retold import Retold, Rows, written_rows
from tests.simulation.judge.told import Told, first_told, records, told_in
from tests.simulation.settings import OVERLAPS
from tests.stream.worker.order.taken_order import Event, stretches, taken_order

if TYPE_CHECKING:
    from tests.simulation.world import Era, World

_NOW_MS = 1_770_000_000_000
_EVENTS_MAX = 1 << 20


def covered(world: World, of: Setup, partition: int) -> dict[str, int]:
    """What the markers of a layout cover, late ones of earlier owners left out."""
    most: dict[str, int] = {}
    for stored in world.broker.log(of.changelog, partition).batches:
        if stored.end == stored.base + 1:  # a marker is written alone
            for _, record in records(stored.data):
                if record.key == MARKER_KEY:
                    marker = msgspec.json.decode(record.value, type=Marker)
                    for topic, end in marker.covered.items():
                        most[topic] = max(most.get(topic, 0), end)
    return most


def commit_ahead(world: World, of: Setup, tp: TP, offset: int) -> str | None:
    """What of a committed offset is not durable, if anything is (4)."""
    if offset > world.broker.log(*tp).end:
        return f"4: commits {tp.topic}/{tp.partition} {offset}, beyond its end"
    known = covered(world, of, tp.partition).get(tp.topic, 0)
    if offset > known:
        return f"4: commits {tp.topic}/{tp.partition} {offset}, the changelog covers {known}"
    return None


def judge(world: World) -> Iterator[str]:
    """What is violated at the end of a history."""
    for partition in range(world.settings.partitions):
        for i, era in enumerate(world.eras):
            after = world.eras[i + 1] if i + 1 < len(world.eras) else None
            known = written_rows(world, era, partition, era.contacts[partition])
            yield from _Partition(world, era, after, partition, known).judge()


class _Partition:
    """One partition in one era."""

    def __init__(
        self, world: World, era: Era, after: Era | None, partition: int, known: Rows
    ) -> None:
        self._world, self._era, self._after, self._partition = world, era, after, partition
        self._first, self._known = first_told(self._log(DECISIONS)), known
        self._pipeline = era.setup.pipeline
        self._offset_words = era.setup.plan.offset_words
        self._name = f"layout {era.setup.layout} partition {partition}"

    def judge(self) -> Iterator[str]:
        decisions = list(self._told(DECISIONS))
        letters = list(self._told(LETTERS))
        chunks = {topic: self._events(topic) for topic in self._world.settings.topics}
        yield from self._same(decisions)
        yield from self._same(letters)
        yield from self._once()
        repeated = {event for topic, chunk in chunks.items() for event in self._repeated(chunk)}
        about = {*self._first, *(told.about for told in letters)}
        yield from self._complete(chunks, about | repeated)
        if again := sorted(repeated & {told.about for told in decisions}):
            yield f"6: {self._name}: decided though they came before: {again[:10]}"
        yield from self._markers(chunks)
        told_of = [told.about for told in decisions]
        taken = in_order(chunks, told_of, self._caught_up(), self._pipeline.event_times)
        retold = Retold(self._world, self._era, self._partition, self._first, self._known)
        yield from self._right(decisions, retold.decide(taken))
        if self._after is None:
            yield from self._rows(retold.table)
            yield from self._contacts(retold)

    def _log(self, topic: str) -> Log:
        return self._world.broker.log(topic, self._partition)

    def _events(self, topic: str) -> RecordChunk:
        """Everything that there was when the era began, and came since."""
        log = self._log(topic)
        born = self._era.born[TP(topic, self._partition)]
        data = b"".join(stored.data for stored in log.batches)
        for chunk in RecordReader(topic, self._partition, data, born, _EVENTS_MAX):
            return chunk
        none = np.zeros(0, np.int64)
        spans = Spans(np.zeros(0, np.uint8), none, none)
        return RecordChunk(topic, self._partition, none, none, spans, spans, born)

    def _told(self, topic: str) -> Iterator[Told]:
        """What workers of this era have published."""
        layout = self._era.setup.layout
        told = told_in(self._log(topic), topic)
        yield from (one for one in told if one.writer.startswith(layout))

    def _same(self, all_told: list[Told]) -> Iterator[str]:
        first: dict[Event, Told] = {}
        for told in all_told:
            before = first.setdefault(told.about, told)
            if before.text != told.text:
                yield f"3: {self._name}: {told} differs from {before}"
                return

    def _once(self) -> Iterator[str]:
        """Whoever takes over has read what is there; not so where two may publish at once."""
        if set(OVERLAPS) & set(self._world.settings.faults):
            return
        for told in told_in(self._log(DECISIONS), DECISIONS):
            if told.offset != self._first[told.about].offset:
                yield f"7: {self._name}: {told} was published before, {self._first[told.about]}"
                return

    def _complete(self, chunks: Mapping[str, RecordChunk], about: set[Event]) -> Iterator[str]:
        for topic, chunk in chunks.items():
            tp = TP(topic, self._partition)
            first = self._era.decided.get(tp, 0)
            end = _EVENTS_MAX if self._after is None else self._after.decided.get(tp, 0)
            due = [at for at in chunk.offset.tolist() if first <= at < end]
            missing = [at for at in due if (topic, at) not in about]
            if missing:
                yield f"1: {self._name}: nothing was said about {topic} {missing[:10]}"

    def _markers(self, chunks: Mapping[str, RecordChunk]) -> Iterator[str]:
        """Whether the rows before each marker contain all that it covers (4)."""
        topics = list(self._world.settings.topics)
        last = {topic: self._offsets(chunk) for topic, chunk in chunks.items()}
        row: dict[bytes, list[int]] = {}
        words = slice(1 + 8 * self._offset_words.start, 1 + 8 * self._offset_words.stop)
        for stored in self._log(self._era.setup.changelog).batches:
            for at, record in records(stored.data):
                if record.key != MARKER_KEY:
                    seen = np.frombuffer(record.value[words], np.int64).tolist()
                    known = row.setdefault(record.key, seen)
                    row[record.key] = [max(*pair) for pair in zip(known, seen, strict=True)]
                    continue
                marker = msgspec.json.decode(record.value, type=Marker)
                for topic, end in marker.covered.items():
                    for key, offsets in last[topic].items():
                        due = max((o for o in offsets if o < end), default=-1)
                        if due >= 0 and row.get(key, [0, 0])[topics.index(topic)] <= due:
                            yield (
                                f"4: {self._name}: the marker at {stored.base + at} by "
                                f"{stored.writer} covers {topic} {end}, the row of "
                                f"{key.decode()} before it lacks {due}"
                            )
                            return

    def _offsets(self, chunk: RecordChunk) -> dict[bytes, list[int]]:
        """Offsets of the events of each customer."""
        batch = self._pipeline.decoder.decode(chunk, _NOW_MS).batch
        offsets: dict[bytes, list[int]] = {}
        for i, offset in enumerate(batch.offset.tolist()):
            offsets.setdefault(batch.customer[i] or b"", []).append(offset)
        return offsets

    def _caught_up(self) -> list[Stretch]:
        """What the workers of the era say that they caught up with."""
        found = (
            record
            for stored in self._log(self._era.setup.changelog).batches
            for _, record in records(stored.data)
            if record.key == MARKER_KEY
        )
        return stretches(msgspec.json.decode(one.value, type=Marker) for one in found)

    def _repeated(self, chunk: RecordChunk) -> Iterator[Event]:
        """Events whose customer had the id before in this topic: rows have room for all ids."""
        batch = self._pipeline.decoder.decode(chunk, _NOW_MS).batch
        known = set()
        for i, offset in enumerate(batch.offset.tolist()):
            told = batch.customer[i], batch.event_id[i]
            if told in known:
                yield chunk.topic, offset
            if told[1] is not None:
                known.add(told)

    def _right(
        self, decisions: list[Told], right: Mapping[Event, tuple[Any, ...]]
    ) -> Iterator[str]:
        for told in decisions:
            if told.text != right.get(told.about):
                yield f"5: {self._name}: {told} is not {right.get(told.about)}"
                return

    def _rows(self, table: CustomerTable) -> Iterator[str]:
        newest = self._restored()
        keys, values = changelog.encode_rows(table, np.arange(table.rows))
        right = {keys[i] or b"": values[i] or b"" for i in range(table.rows)}
        for key in sorted(newest.keys() | right.keys()):
            if newest.get(key) != right.get(key):
                words = [_words(rows.get(key)) for rows in (newest, right)]
                yield f"2: {self._name}: row {key.decode()} is {words[0]}, right is {words[1]}"
                return

    def _contacts(self, retold: Retold) -> Iterator[str]:
        written, right = written_rows(self._world, self._era, self._partition), retold.rows()
        for key in sorted(written.keys() | right.keys()):
            if written.get(key) != right.get(key):
                rows = [row and row.hex() for row in (written.get(key), right.get(key))]
                yield f"8: {self._name}: contacts of {key.decode()} are {rows[0]}, right is {rows[1]}"
                return

    def _restored(self) -> dict[bytes, bytes]:
        """The rows as a restore finds them: of two, the one that has seen less is left out."""
        rows: dict[bytes, bytes] = {}
        for stored in self._log(self._era.setup.changelog).batches:
            for _, record in records(stored.data):
                if record.key == MARKER_KEY:
                    continue
                before = rows.get(record.key)
                if before is None or not (self._seen(record.value) < self._seen(before)).any():
                    rows[record.key] = record.value
        return rows

    def _seen(self, row: bytes) -> np.ndarray:
        return np.frombuffer(row[1:], np.int64)[self._offset_words]


def _words(value: bytes | None) -> list[float]:
    return [] if value is None else np.frombuffer(value[1:], np.float64).tolist()


def in_order(
    chunks: Mapping[str, RecordChunk],
    decided: Sequence[Event],
    caught_up: Sequence[Stretch],
    event_times: Callable[[RecordChunk], Int64s],
) -> Iterator[RecordChunk]:
    """Pieces of the chunks in the order in which they were taken: see `taken_order`."""
    left, timed = dict(chunks), {t: (one, event_times(one)) for t, one in chunks.items()}
    for topic, end in taken_order(timed, decided, caught_up):
        piece, left[topic] = split(left[topic], end)
        if len(piece):
            yield piece
