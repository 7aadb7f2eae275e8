"""A made-up history of any size, written as an archive: what `opportune archive` would have copied.

Orders, page views, messages and redemptions of many customers. Message "a" is redeemed by those who
buy for much, "b" by those who buy for little, so there is something to learn.

Rules of this file
1. Nothing is kept but one flush: the history may be larger than memory.
2. Events are joined by Arrow, column by column: one Python object an event would take longer than
   everything that is measured.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stream.columns import Int64s, RecordChunk, Spans
from trainer.archive.columns import spans_of
from trainer.archive.folder import Archive
from trainer.archive.writer import Pending, flush

TOPIC = "shop"
PARTITIONS = 4
_BUCKETS = 8
_START_MS = 1_760_000_000_000
_DAYS = 120
_SHARES = (0.68, 0.29, 0.0295, 0.0005)  # view, order, message, redemption without one
_TYPES = ("Page Viewed", "Order Completed", "Message Sent", "Offer Redeemed")
_FLUSH_RECORDS = 500_000
_SEED = 11


def write_archive(
    root: Path, events: int, customers: int, advance: Callable[[int], object] = lambda _: None
) -> int:
    """Writes the history; returns the bytes of its files.

    Args:
        root: Folder of the archive, new.
        events: How many.
        customers: Of how many customers.
        advance: Called with the number of events written since the last call.
    """
    folder = Archive.open_or_create(root, _BUCKETS).topic(TOPIC)
    size_bytes = 0
    step_ms = _DAYS * 86_400_000 / events
    random = np.random.default_rng(_SEED)
    first = [0] * PARTITIONS
    with folder.lock("archive"):
        for begin in range(0, events, _FLUSH_RECORDS * PARTITIONS):
            count = min(_FLUSH_RECORDS * PARTITIONS, events - begin)
            time_ms = _START_MS + ((begin + np.arange(count)) * step_ms).astype(np.int64)
            customer = (random.pareto(1.5, count) * customers / 10).astype(np.int64) % customers
            for partition in range(PARTITIONS):
                mine = np.flatnonzero(customer % PARTITIONS == partition)
                chunk = _chunk(partition, first[partition], customer[mine], time_ms[mine], random)
                pending = Pending(partition, first[partition], first[partition])
                pending.add(chunk, 0.0)
                size_bytes += flush(pending, folder).size_bytes
                first[partition] = chunk.next_offset
                advance(len(mine))
    return size_bytes


def _chunk(
    partition: int, first: int, customer: Int64s, time_ms: Int64s, random: np.random.Generator
) -> RecordChunk:
    n = len(customer)
    kind = random.choice(len(_TYPES), n, p=_SHARES)
    rich = customer % 2 == 0
    # Of a message comes a redemption more often when it suits: it takes the place of another event.
    strategy = random.integers(0, 2, n)
    suits = rich == (strategy == 0)
    after = np.flatnonzero((kind == 2) & (random.random(n) < np.where(suits, 0.35, 0.05)))
    after = after[after < n - 1000]
    kind[after + 997] = 3
    customer = customer.copy()
    customer[after + 997] = customer[after]
    cents = (random.gamma(2.0, 20.0, n) * np.where(customer % 2 == 0, 300, 60)).astype(np.int64)
    key = _joined("c", _digits(customer, 8))
    value = _joined(
        '{"type":"track","event":"', pa.array(_TYPES).take(pa.array(kind)),
        '","userId":"', key, '","timestamp":', _digits(time_ms), ',"messageId":"',
        _digits(first * PARTITIONS + partition + np.arange(n), 16), '","properties":{"revenue":',
        _digits(cents // 100), ".", _digits(cents % 100, 2), ',"strategy":"message-',
        pa.array(("a", "b")).take(pa.array(strategy)), '"}}',
    )  # fmt: skip
    return RecordChunk(
        topic=TOPIC,
        partition=partition,
        offset=np.arange(first, first + n),
        timestamp_ms=time_ms,
        key=_spans(key),
        value=_spans(value),
        next_offset=first + n,
    )


def _digits(number: Int64s, width: int = 1) -> pa.Array:
    """Numbers as text, with leading zeros."""
    return pc.utf8_lpad(pa.array(number).cast(pa.large_string()), width, "0")


def _joined(*parts: pa.Array | str) -> pa.Array:
    """Texts and columns of texts, one after the other."""
    columns = [
        pa.scalar(p, pa.large_string()) if isinstance(p, str) else p.cast(pa.large_string())
        for p in parts
    ]
    return pc.binary_join_element_wise(*columns, pa.scalar("", pa.large_string()))


def _spans(texts: pa.Array) -> Spans:
    return spans_of(pa.chunked_array([texts.cast(pa.large_binary())]))
