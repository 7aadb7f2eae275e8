"""Made-up customer events, good and bad, and a producer that sends them at a pace.

Rules of this file
1. Everything comes from one seed; every event has an id of its own, and may be sent twice with it.
2. A customer is always in the same partition; what is no event may come anywhere.
"""

from __future__ import annotations

import json
import random
import threading
import time
import zlib
from collections import deque
from collections.abc import Sequence
from typing import Any, Self

from confluent_kafka import Producer

START_MS = 1_760_000_000_000
_REPEATED_AFTER_MAX = 8  # fewer than the ids that a row remembers
KINDS = ("Product Viewed", "Order Completed", "Email Opened", "Cart Viewed")

INVALID: tuple[bytes | None, ...] = (
    None,
    b"",
    b"no event",
    b"{",
    b"[1, 2]",
    b'{"userId": "\xff\xfe", "type": "page", "timestamp": 1760000000000}',
    b'{"type": "page", "timestamp": 1760000000000}',
    b'{"userId": "c1", "timestamp": 1760000000000}',
    b'{"userId": "", "type": "page", "timestamp": 1760000000000}',
    b'{"userId": "c1", "type": 7, "timestamp": 1760000000000}',
    b'{"userId": "%s", "type": "page", "timestamp": 1760000000000}' % (b"x" * 5_000),
    b"[" * 2_000,
)
"""Values that are no events, one of each kind."""


class Events:
    """An endless source of events of one topic, in the order in which they happen, or nearly."""

    def __init__(
        self,
        topic: str,
        customers: int,
        seed: int,
        invalid_share: float = 0.01,
        repeated_share: float = 0.0,
    ) -> None:
        self._topic = topic
        self._customers = customers
        self._invalid_share = invalid_share
        self._repeated_share = repeated_share
        self._last: deque[tuple[bytes, bytes]] = deque(maxlen=_REPEATED_AFTER_MAX)
        self._rng = random.Random(f"{seed} {topic}")
        self._clock_ms = START_MS
        self._made = 0
        self.invalid = 0
        self.repeated = 0

    def next(self) -> tuple[bytes | None, bytes | None]:
        """Key and value of the next record."""
        rng = self._rng
        if self._last and rng.random() < self._repeated_share:
            self.repeated += 1
            return rng.choice(self._last)
        self._made += 1
        self._clock_ms += rng.randrange(2_000)
        customer = f"c{int(self._customers * rng.random() ** 2):05d}"
        if rng.random() < self._invalid_share:
            self.invalid += 1
            value = rng.choice(INVALID)
            # No value under a key is a tombstone, which gets no letter.
            keys = [None] if value is None else [None, b"\xff\x00", customer.encode()]
            return rng.choice(keys), value
        late_ms = rng.randrange(5 * 86_400_000) if rng.random() < 0.05 else 0
        kind = rng.choices(KINDS, (6, 1, 2, 1))[0]
        event: dict[str, Any] = {
            "messageId": f"{self._topic}-{self._made}",
            "userId": customer,
            "type": "track",
            "event": kind,
            "timestamp": self._clock_ms - late_ms,
            "properties": {"value": rng.randrange(10_000) / 100, "category": rng.choice("abcdefg")},
        }
        if rng.random() < 0.03:
            event["traits"] = {"marketing_consent": rng.random() < 0.7}
        if rng.random() < 0.02:
            del event["messageId"]
            return customer.encode(), json.dumps(event).encode()
        self._last.append((customer.encode(), json.dumps(event).encode()))
        return self._last[-1]


def partition_of(key: bytes | None, value: bytes | None, partitions: int) -> int:
    """The partition of a customer; of other records one that depends on their bytes."""
    return zlib.crc32(key or value or b"") % partitions


def producer(bootstrap: str, **settings: Any) -> Producer:
    """A producer that loses nothing over a restart of the broker."""
    return Producer(
        {
            "bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 5,
            "queue.buffering.max.messages": 1_000_000, "message.timeout.ms": 300_000,
            "log_level": 2, **settings,
        }
    )  # fmt: skip


def send(
    bootstrap: str,
    sources: Sequence[tuple[str, Events]],
    partitions: int,
    count: int,
    **settings: Any,
) -> None:
    """Sends a number of records of each topic, as fast as it goes."""
    sender = producer(bootstrap, **settings)
    for _ in range(count):
        for topic, events in sources:
            key, value = events.next()
            sender.produce(topic, value, key, partition_of(key, value, partitions))
    assert sender.flush(120) == 0


class Load:
    """A thread that sends events of several topics, `rate` a second together, until it is stopped."""

    def __init__(
        self, bootstrap: str, topics: Sequence[str], partitions: int, rate: int, seed: int,
        customers: int = 500, tick_s: float = 0.02, repeated_share: float = 0.0, **settings: Any,
    ) -> None:  # fmt: skip
        self.sources = [
            (topic, Events(topic, customers, seed, repeated_share=repeated_share))
            for topic in topics
        ]
        self.sent = 0
        self._partitions = partitions
        self._rate = rate
        self._tick_s = tick_s
        self._rng = random.Random(seed)
        self._producer = producer(bootstrap, **settings)
        self._stop = threading.Event()
        self._failed: list[str] = []
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    @property
    def invalid(self) -> int:
        """How many of the records are no events."""
        return sum(events.invalid for _, events in self.sources)

    @property
    def repeated(self) -> int:
        """How many of the records tell of an event that another one told of before."""
        return sum(events.repeated for _, events in self.sources)

    def stop(self) -> None:
        """Returns when everything sent is acknowledged."""
        self._stop.set()
        self._thread.join()
        assert self._producer.flush(300) == 0
        assert not self._failed, self._failed[:3]

    def _run(self) -> None:
        began_s = time.monotonic()
        while not self._stop.wait(self._tick_s):
            due = int((time.monotonic() - began_s) * self._rate)
            while self.sent < due:
                topic, events = self._rng.choice(self.sources)
                key, value = events.next()
                partition = partition_of(key, value, self._partitions)
                self._producer.produce(topic, value, key, partition, on_delivery=self._delivered)
                self.sent += 1
            self._producer.poll(0)

    def _delivered(self, error: Any, _message: Any) -> None:
        if error is not None:
            self._failed.append(str(error))
