"""Dead letters: records that are no events, kept as they came, with the reason.

Rules of this file
1. Key and value are the original bytes, null where they were null: the topic can be replayed.
2. What is said about them stands in headers, as UTF-8 text. The headers of the record follow; one that
   is called like one of the letter has a prefix, and so has one that begins with the prefix.
3. A record that is larger than the topic takes is cut, and its headers say so: it stops nothing. Its own
   headers are left out first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from stream.columns import Int64s, RecordChunk, Reject, Spans
from stream.kafka.headers import Header, read_headers, write_headers
from stream.kafka.records import RecordBatch, build_batches

HEADERS = ("reason", "code", "topic", "partition", "offset", "timestamp")
"""Headers of a dead letter; topic, partition, offset and timestamp (epoch ms) are the record's."""
TRUNCATED_HEADERS = ("truncated", "key_bytes", "value_bytes")
"""Further headers of a letter that was cut: "true", and how long key and value were, -1 for null."""
HEADERS_BYTES = "headers_bytes"
"""One more when the record had headers, which are left out: how long they were."""
ORIGINAL = "original."
"""Before the name of a header of the record that would be taken for one of the letter."""
_OWN = frozenset((*HEADERS, *TRUNCATED_HEADERS, HEADERS_BYTES))

# Frame of a batch, lengths within the record, and what the further headers take.
_FRAME_BYTES = 256
_HEADER_LENGTHS_BYTES = 10


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """n records for the dead-letter topic.

    Attributes:
        key: The original keys, in the buffer of the chunk.
        value: The original values, in the buffer of the chunk.
        headers: Name and value of the headers of each letter.
        originals: Those of its record, by the names that they have in the letter; none given stands
            for none anywhere.
    """

    key: Spans
    value: Spans
    headers: list[list[tuple[str, bytes]]]
    originals: list[list[Header]] = field(default_factory=list)

    def all_headers(self) -> list[list[Header]]:
        """The headers of each letter, and behind them those of its record."""
        if not self.originals:
            return [list[Header](own) for own in self.headers]
        return [
            [*own, *original] for own, original in zip(self.headers, self.originals, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.headers)


def encode(rejects: Sequence[Reject], chunk: RecordChunk) -> DeadLetters:
    """Makes the dead letters of the rejected records of a chunk, in the order of `rejects`."""
    record = np.array([reject.record for reject in rejects], np.int64)
    headers = []
    for reject in rejects:
        values = (
            reject.reason,
            reject.code,
            chunk.topic,
            chunk.partition,
            chunk.offset[reject.record],
            chunk.timestamp_ms[reject.record],
        )
        headers.append([(k, str(v).encode()) for k, v in zip(HEADERS, values, strict=True)])
    originals = list[list[Header]]()
    if chunk.headers is not None:
        raw = chunk.headers.take(record)
        originals = [_told_apart(read_headers(raw[i])) for i in range(len(raw))]
    return DeadLetters(chunk.key.take(record), chunk.value.take(record), headers, originals)


def _told_apart(headers: Sequence[Header]) -> list[Header]:
    """Headers by the names that they have in a letter; clients read no name that is not UTF-8."""
    names = [_readable(name) for name, _ in headers]
    return [
        (f"{ORIGINAL}{name}" if name in _OWN or name.startswith(ORIGINAL) else name, content)
        for name, (_, content) in zip(names, headers, strict=True)
    ]


def _readable(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def original_headers(headers: Iterable[Header]) -> list[Header]:
    """The headers of the record that a letter is about, by the names that they had there.

    Args:
        headers: Those of the letter, as `DeadLetters.all_headers` has them.
    """
    return [(name.removeprefix(ORIGINAL), content) for name, content in headers if name not in _OWN]


def fit(letters: DeadLetters, bytes_max: int) -> list[DeadLetters]:
    """Cuts what a topic would refuse: the record's headers, the value, and the key if that is needed.

    Args:
        letters: Whole letters.
        bytes_max: Largest record batch that the topic takes.

    Returns:
        The letters in their order, in runs of whole and of cut ones: these have more headers.
    """
    said = np.array([_headers_bytes(own) for own in letters.headers], np.int64)
    original = np.zeros(len(letters), np.int64)
    if letters.originals:
        original += [_headers_bytes(own) for own in letters.originals]
    room = np.maximum(bytes_max - _FRAME_BYTES - said, 0)
    wanted = np.maximum(letters.key.size, 0) + np.maximum(letters.value.size, 0) + original
    is_cut = wanted > room
    runs = np.split(np.arange(len(letters)), np.flatnonzero(np.diff(is_cut)) + 1)
    return [_run(letters, run, room[run] if is_cut[run[0]] else None) for run in runs if len(run)]


def _headers_bytes(headers: Iterable[Header]) -> int:
    """An upper bound of what headers take."""
    return sum(len(k.encode()) + len(v or b"") + _HEADER_LENGTHS_BYTES for k, v in headers)


def _run(letters: DeadLetters, run: Int64s, room: Int64s | None) -> DeadLetters:
    """Some of the letters, cut when there is a limit to the bytes of key and value together."""
    key, value = letters.key.take(run), letters.value.take(run)
    headers = [letters.headers[i] for i in run]
    originals = [letters.originals[i] for i in run] if letters.originals else []
    if room is None:
        return DeadLetters(key, value, headers, originals)
    for own, *sizes in zip(headers, key.size, value.size, strict=True):
        values = (b"true", *(str(size).encode() for size in sizes))
        own.extend(zip(TRUNCATED_HEADERS, values, strict=True))
    for own, left_out in zip(headers, originals, strict=False):
        if left_out:
            own.append((HEADERS_BYTES, str(_size(left_out)).encode()))
    kept = np.minimum(key.size, room)
    left = room - np.maximum(kept, 0)
    cut = Spans(value.data, value.start, np.minimum(value.size, left))
    return DeadLetters(Spans(key.data, key.start, kept), cut, headers)


def _size(originals: Sequence[Header]) -> int:
    """How long headers were in their record."""
    return len(write_headers(original_headers(originals)))


def build(
    rejects: Sequence[Reject], chunk: RecordChunk, now_ms: int, bytes_max: int, batch_bytes: int
) -> list[RecordBatch]:
    """The batches of the letters about records of a chunk.

    Args:
        rejects: The records.
        chunk: Where they stand.
        now_ms: Timestamp of the letters, epoch milliseconds.
        bytes_max: Largest record batch that the topic takes.
        batch_bytes: Batches are not made larger than that, either.
    """
    batches: list[RecordBatch] = []
    if not rejects:
        return batches
    for run in fit(encode(rejects, chunk), bytes_max):
        batches += build_batches(
            run.key, run.value, now_ms,
            own_headers=run.all_headers(), batch_bytes_max=min(batch_bytes, bytes_max),
        )  # fmt: skip
    return batches
