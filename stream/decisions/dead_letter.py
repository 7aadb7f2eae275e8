"""Dead letters: records that are no events, kept as they came, with the reason.

Of a record that holds a batch only what is no event becomes a letter: the record as it came, but with no
other elements in its array. Sent again, it counts nothing twice. The elements of one record that were
refused with one code share a letter, so that letters never grow far beyond what came.

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
from typing import Any

import numpy as np

from stream.columns import Element, Int64s, RecordChunk, Reject, Spans
from stream.kafka.headers import Header, read_headers, write_headers
from stream.kafka.records import RecordBatch, build_batches

HEADERS = ("reason", "code", "topic", "partition", "offset", "timestamp")
"""Headers of a dead letter; topic, partition, offset and timestamp (epoch ms) are the record's."""
TRUNCATED_HEADERS = ("truncated", "key_bytes", "value_bytes")
"""Further headers of a letter that was cut: "true", and how long key and value were, -1 for null."""
ELEMENTS_HEADER = "elements"
"""Further header of a letter about elements of a batch: their indices, "3,7-9", cut after some."""
_RUNS_MAX = 64
HEADERS_BYTES = "headers_bytes"
"""One more when the record had headers, which are left out: how long they were."""
ORIGINAL = "original."
"""Before the name of a header of the record that would be taken for one of the letter."""
_OWN = frozenset((*HEADERS, *TRUNCATED_HEADERS, HEADERS_BYTES, ELEMENTS_HEADER))

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
    """Makes the dead letters of what was rejected of a chunk, in the order of `rejects`."""
    letters: dict[Any, list[Reject]] = {}
    for k, reject in enumerate(rejects):
        is_whole = reject.element is None
        letters.setdefault(k if is_whole else (reject.record, reject.code), []).append(reject)
    record = np.array([theirs[0].record for theirs in letters.values()], np.int64)
    headers = []
    for theirs in letters.values():
        first = theirs[0]
        values = (
            first.reason,
            first.code,
            chunk.topic,
            chunk.partition,
            chunk.offset[first.record],
            chunk.timestamp_ms[first.record],
        )
        own = [(k, str(v).encode()) for k, v in zip(HEADERS, values, strict=True)]
        elements = [one.element for one in theirs if one.element is not None]
        headers.append([*own, (ELEMENTS_HEADER, _indices(elements))] if elements else own)
    originals = list[list[Header]]()
    if chunk.headers is not None:
        raw = chunk.headers.take(record)
        originals = [_told_apart(read_headers(raw[i])) for i in range(len(raw))]
    value = chunk.value.take(record)
    if any(reject.element is not None for reject in rejects):
        value = Spans.of([_value(chunk, theirs) for theirs in letters.values()])
    return DeadLetters(chunk.key.take(record), value, headers, originals)


def _value(chunk: RecordChunk, rejects: Sequence[Reject]) -> bytes | None:
    """The record of a letter with no elements but those that it is about."""
    whole = chunk.value[rejects[0].record]
    elements = [reject.element for reject in rejects if reject.element is not None]
    if whole is None or not elements:
        return whole
    at = int(chunk.value.start[rejects[0].record])
    begin, end = elements[0].array_start - at, elements[0].array_end - at
    kept = [whole[one.start - at : one.start - at + one.size] for one in elements]
    return b"%b[%b]%b" % (whole[:begin], b",".join(kept), whole[end:])


def _indices(elements: Sequence[Element]) -> bytes:
    """Rising indices in words: runs of them, as far as there is room."""
    index = np.array([one.index for one in elements])
    runs = np.split(index, np.flatnonzero(np.diff(index) > 1) + 1)
    words = [f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs[:_RUNS_MAX]]
    return ",".join([*words, "..."] if len(runs) > _RUNS_MAX else words).encode()


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
        The letters in their order, in runs of those that have as many headers: cut ones have more.
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
