"""A made-up history of any size, written as an archive: what `opportune archive` would have copied.

Orders, page views, messages and redemptions of many customers. Message "a" is redeemed by those who
buy for much, "b" by those who buy for little, so there is something to learn.

Rules of this file
1. Nothing is kept but one flush: the history may be larger than memory.
2. Events are fixed-width text, filled column by column: one Python object an event would take longer
   than everything that is measured.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stream.columns import RecordChunk, Spans
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
_VALUE = (
    b'{"type":"track","event":%-17s,"userId":"c00000000","timestamp":0000000000000,'
    b'"messageId":"0000000000000000","properties":{"revenue": 0000.00,"strategy":"message-a"}}'
)
_SEED = 11

_Matrix = npt.NDArray[np.uint8]
_Int64s = npt.NDArray[np.int64]


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
                size_bytes += flush(pending, folder, _BUCKETS).size_bytes
                first[partition] = chunk.next_offset
                advance(len(mine))
    return size_bytes


def _chunk(
    partition: int, first: int, customer: _Int64s, time_ms: _Int64s, random: np.random.Generator
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
    text, at = _texts(), {name: _VALUE_OF.index(mark) for name, mark in _MARKS.items()}
    data = text[kind]
    _digits(data, at["customer"], 8, customer)
    _digits(data, at["time"], 13, time_ms)
    _digits(data, at["id"], 16, first * PARTITIONS + partition + np.arange(n))
    _digits(data, at["revenue"], 4, np.minimum(cents // 100, 9999))
    _digits(data, at["revenue"] + 5, 2, cents % 100)
    _no_leading_zeros(data, at["revenue"], 4)
    data[:, at["strategy"]] = np.uint8(ord("a")) + strategy.astype(np.uint8)
    width = data.shape[1]
    flat = data.reshape(-1)
    starts = np.arange(n) * width
    return RecordChunk(
        topic=TOPIC,
        partition=partition,
        offset=np.arange(first, first + n),
        timestamp_ms=time_ms,
        key=Spans(flat, starts + at["customer"] - 1, np.full(n, 9)),
        value=Spans(flat, starts, np.full(n, width)),
        next_offset=first + n,
    )


_VALUE_OF = _VALUE % b'"Page Viewed"'
_MARKS = {
    "customer": b'00000000","timestamp"',
    "time": b'0000000000000,"messageId"',
    "id": b'0000000000000000","properties"',
    "revenue": b'0000.00,"strategy"',
    "strategy": b'a"}}',
}


def _texts() -> _Matrix:
    """The text of each type, one row each."""
    rows = [_VALUE % (b'"%s"' % name.encode()) for name in _TYPES]
    return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1)


def _digits(data: _Matrix, at: int, width: int, number: _Int64s) -> None:
    """Writes numbers with leading zeros."""
    rest = number.copy()
    for column in range(at + width - 1, at - 1, -1):
        rest, digit = np.divmod(rest, 10)
        data[:, column] = digit.astype(np.uint8) + np.uint8(ord("0"))


def _no_leading_zeros(data: _Matrix, at: int, width: int) -> None:
    """Turns them into spaces, which JSON allows before a number."""
    leading = np.ones(len(data), np.bool_)
    for column in range(at, at + width - 1):
        leading &= data[:, column] == ord("0")
        data[leading, column] = ord(" ")
