"""What workers have published, read from the logs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from aiokafka.record import MemoryRecords

from tests.simulation.campaigns import DECISIONS, LETTERS

if TYPE_CHECKING:
    from tests.simulation.broker import Log
    from tests.stream.worker.order.taken_order import Event

_WALL_CLOCK = re.compile(rb'"time":"([^"]*)"')


class Told(NamedTuple):
    """A record that a worker has published about an event.

    Attributes:
        about: The event.
        offset: Where the record stands.
        writer: Who sent it.
        text: Key, value and headers, without the wall clock.
        at: What the wall clock said.
    """

    about: Event
    offset: int
    writer: str
    text: tuple[Any, ...]
    at: str


def records(data: bytes) -> Iterator[tuple[int, Any]]:
    """The records of a stored batch, with their numbers."""
    whole = MemoryRecords(data)
    while whole.has_next():
        yield from enumerate(whole.next_batch())


def told_in(log: Log, topic: str) -> Iterator[Told]:
    """What was published, in the order of the log."""
    for stored in log.batches:
        for at, record in records(stored.data):
            value, headers = record.value or b"", tuple(record.headers)
            about, text = about_of(topic, value, dict(headers)), without_clock(value)
            said = _WALL_CLOCK.search(value)
            told = (record.key, text, headers)
            clock = said[1].decode() if said else ""
            yield Told(about, stored.base + at, stored.writer, told, clock)


def without_clock(value: bytes) -> bytes:
    """A decision or a letter without the time at which it was made."""
    return _WALL_CLOCK.sub(b'"time":""', value, count=1)


def about_of(topic: str, value: bytes, headers: Mapping[str, bytes]) -> Event:
    """The event that a decision or a letter is about."""
    if topic == LETTERS:
        return headers["topic"].decode(), int(headers["offset"])
    event = msgspec.json.decode(value)["data"]["event"]
    return event["topic"], event["offset"]


def first_told(log: Log) -> dict[Event, Told]:
    """The decision that counts about each event: the first, whoever made it."""
    first: dict[Event, Told] = {}
    for told in told_in(log, DECISIONS):
        first.setdefault(told.about, told)
    return first
