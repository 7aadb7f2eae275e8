"""The events of a history: what comes on the event topics, and when."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from stream.columns import Spans
from stream.kafka.records import RecordBatch, build_batches
from tests.simulation.settings import Settings

EPOCH_MS = 1_767_225_600_000
_BATCH_EVENTS_MAX = 6
_LATE = 0.1
_GARBAGE = 0.03
_NAMELESS = 10  # every so manieth event has no id


class Arrival(NamedTuple):
    """A batch that a producer sends at a time, virtual seconds."""

    at_s: float
    topic: str
    partition: int
    batch: RecordBatch


def arrivals(random: Random, settings: Settings) -> Iterator[Arrival]:
    """Batches of events in the order in which they come; a customer stays in one partition."""
    left = settings.events
    of_repeats = Random(settings.events)
    sent: dict[tuple[str, int], list[tuple[bytes, bytes]]] = {}
    times = sorted(random.uniform(0.0, settings.loaded_s) for _ in range(left))
    number = 0
    while left > 0:
        count = min(left, random.randint(1, _BATCH_EVENTS_MAX))
        at_s = times[settings.events - left]
        partition = random.randrange(settings.partitions)
        topic = random.choice(settings.topics)
        values, keys = [], []
        for _ in range(count):
            number += 1
            before = sent.setdefault((topic, partition), [])
            key = b"c%d-%d" % (partition, random.randrange(settings.customers))
            value = _value(random, key, topic, at_s, number)
            if before and of_repeats.random() < settings.repeats:
                key, value = of_repeats.choice(before)
            else:
                before.append((key, value))
            keys.append(key)
            values.append(value)
        clock_s = at_s + random.choice((0.0, 0.0, -1.5, 3.0))  # those of producers differ
        received_ms = EPOCH_MS + int(clock_s * 1000)
        (batch,) = build_batches(Spans.of(keys), Spans.of(values), received_ms)
        yield Arrival(at_s, topic, partition, batch)
        left -= count


def _value(random: Random, key: bytes, topic: str, at_s: float, number: int) -> bytes:
    if random.random() < _GARBAGE:
        return b'{"no event": %d}' % number
    late_s = random.uniform(0.0, 30.0) if random.random() < _LATE else 0.0
    second = 30.0 + at_s - late_s
    identity = b"null" if number % _NAMELESS == 0 else b'"m-%d"' % number
    return (
        b'{"userId":"%s","messageId":%s,"type":"track","event":"%s","timestamp":"2026-01-01T00:%02d:%06.3fZ",'
        b'"properties":{"value":%d}}'
        % (
            key,
            identity,
            b"Mail" if topic == "mails" else b"Order",
            second // 60,
            second % 60,
            number,
        )
    )
