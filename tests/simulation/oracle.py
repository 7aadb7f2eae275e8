"""What is right: everything recomputed from the event topics, slowly and in one piece.

1 every event is decided, or has its dead letter
2 no event is counted twice or left out: the rows are, byte for byte, those of the recomputation
3 what is published twice is the same, but for the wall clock
4 nothing is committed before its decisions, its rows and the marker that covers it are written
5 what is published first is right
6 of the events with one id the first one is decided, and no other
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
from aiokafka.record import MemoryRecords
from faust.types import TP

from stream.columns import Int64s, RecordChunk, Spans, split
from stream.kafka.records import RecordReader
from stream.state import changelog
from stream.state.marker import MARKER_KEY, Marker, Stretch
from stream.state.table import CustomerTable
from tests.simulation.broker import Log
from tests.simulation.campaigns import DECISIONS, LETTERS, Setup
from tests.stream.worker.order.taken_order import Event, stretches, taken_order

if TYPE_CHECKING:
    from tests.simulation.world import Era, World

_NOW_MS = 1_770_000_000_000
_WALL_CLOCK = re.compile(rb'"time":"[^"]*"')
_EVENTS_MAX = 1 << 20


class Told(NamedTuple):
    """A record that a worker has published about an event.

    Attributes:
        about: The event.
        offset: Where the record stands.
        writer: Who sent it.
        text: Key, value and headers, without the wall clock.
    """

    about: Event
    offset: int
    writer: str
    text: tuple[Any, ...]


def covered(world: World, of: Setup, partition: int) -> dict[str, int]:
    """What the markers of a layout cover, late ones of earlier owners left out."""
    most: dict[str, int] = {}
    for stored in world.broker.log(of.changelog, partition).batches:
        if stored.end == stored.base + 1:  # a marker is written alone
            for _, record in _records(stored.data):
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
            yield from _Partition(world, era, after, partition).judge()


class _Partition:
    """One partition in one era."""

    def __init__(self, world: World, era: Era, after: Era | None, partition: int) -> None:
        self._world, self._era, self._after, self._partition = world, era, after, partition
        self._pipeline = era.setup.pipeline
        self._offset_words = era.setup.plan.offset_words
        self._name = f"layout {era.setup.layout} partition {partition}"

    def judge(self) -> Iterator[str]:
        decisions = list(self._told(DECISIONS))
        letters = list(self._told(LETTERS))
        chunks = {topic: self._events(topic) for topic in self._world.settings.topics}
        yield from self._same(decisions)
        yield from self._same(letters)
        repeated = {event for topic, chunk in chunks.items() for event in self._repeated(chunk)}
        about = {told.about for told in (*decisions, *letters)}
        yield from self._complete(chunks, about | repeated)
        if again := sorted(repeated & {told.about for told in decisions}):
            yield f"6: {self._name}: decided though they came before: {again[:10]}"
        yield from self._markers(chunks)
        table = CustomerTable(self._era.setup.plan.row_words)
        told_of = [told.about for told in decisions]
        taken = in_order(chunks, told_of, self._caught_up(), self._pipeline.event_times)
        right = self._recompute(table, taken)
        yield from self._right(decisions, right)
        if self._after is None:
            yield from self._rows(table)

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
        for stored in self._log(topic).batches:
            if stored.writer.startswith(self._era.setup.layout):
                for at, record in _records(stored.data):
                    headers = tuple(record.headers)
                    value = _WALL_CLOCK.sub(b'"time":""', record.value or b"", 1)
                    about = _about(topic, value, dict(headers))
                    yield Told(about, stored.base + at, stored.writer, (record.key, value, headers))

    def _same(self, all_told: list[Told]) -> Iterator[str]:
        first: dict[Event, Told] = {}
        for told in all_told:
            before = first.setdefault(told.about, told)
            if before.text != told.text:
                yield f"3: {self._name}: {told} differs from {before}"
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
            for at, record in _records(stored.data):
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
        records = (
            record
            for stored in self._log(self._era.setup.changelog).batches
            for _, record in _records(stored.data)
            if record.key == MARKER_KEY
        )
        return stretches(msgspec.json.decode(one.value, type=Marker) for one in records)

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

    def _recompute(
        self, table: CustomerTable, chunks: Iterator[RecordChunk]
    ) -> dict[Event, tuple[Any, ...]]:
        right = {}
        for chunk in chunks:
            tp = TP(chunk.topic, self._partition)
            step = self._pipeline.step(
                chunk, table, self._era.setup.deployment,
                silent_until=self._era.decided.get(tp, 0), now_ms=_NOW_MS,
            )  # fmt: skip
            for batch in step.decisions:
                for _, record in _records(bytes(batch.seal(-1, -1, -1))):
                    headers = tuple(record.headers)
                    value = _WALL_CLOCK.sub(b'"time":""', record.value, 1)
                    right[_about(DECISIONS, value, {})] = (record.key, value, headers)
        return right

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

    def _restored(self) -> dict[bytes, bytes]:
        """The rows as a restore finds them: of two, the one that has seen less is left out."""
        rows: dict[bytes, bytes] = {}
        for stored in self._log(self._era.setup.changelog).batches:
            for _, record in _records(stored.data):
                if record.key == MARKER_KEY:
                    continue
                before = rows.get(record.key)
                if before is None or not (self._seen(record.value) < self._seen(before)).any():
                    rows[record.key] = record.value
        return rows

    def _seen(self, row: bytes) -> np.ndarray:
        return np.frombuffer(row[1:], np.int64)[self._offset_words]


def _records(data: bytes) -> Iterator[tuple[int, Any]]:
    whole = MemoryRecords(data)
    while whole.has_next():
        yield from enumerate(whole.next_batch())


def _about(topic: str, value: bytes, headers: Mapping[str, bytes]) -> Event:
    if topic == LETTERS:
        return headers["topic"].decode(), int(headers["offset"])
    event = msgspec.json.decode(value)["data"]["event"]
    return event["topic"], event["offset"]


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
