"""Dead letters keep the record as it came."""

from __future__ import annotations

import numpy as np

from stream.columns import RecordChunk, Reject, Spans
from stream.decisions import dead_letter

KEYS: list[bytes | None] = [b"c1", None, b"c3", b""]
VALUES: list[bytes | None] = [b'{"ok":1}', b"\xff\x00 no JSON", None, b""]
CHUNK = RecordChunk(
    topic="shop-events", partition=3, offset=np.array([10, 11, 15, 16]),
    timestamp_ms=np.array([1_000, -1, 1_795_507_200_123, 0]), key=Spans.of(KEYS), value=Spans.of(VALUES),
    next_offset=17,
)  # fmt: skip


def test_dead_letters_are_the_original_bytes_and_the_reason() -> None:
    letters = dead_letter.encode(
        [
            Reject(1, "not_json", "expected JSON, got byte 0xff at 0 to café"),
            Reject(2, "tombstone", "expected an event, got null"),
            Reject(3, "empty", "expected an event, got nothing"),
        ],
        CHUNK,
    )
    assert len(letters) == 3
    assert [letters.key[i] for i in range(3)] == KEYS[1:]
    assert [letters.value[i] for i in range(3)] == VALUES[1:]
    assert letters.headers[0] == [
        ("reason", "expected JSON, got byte 0xff at 0 to café".encode()),
        ("code", b"not_json"),
        ("topic", b"shop-events"),
        ("partition", b"3"),
        ("offset", b"11"),
        ("timestamp", b"-1"),
    ]
    assert dict(letters.headers[1])["offset"] == b"15"
    assert dict(letters.headers[1])["timestamp"] == b"1795507200123"


def test_the_bytes_are_not_copied() -> None:
    letters = dead_letter.encode([Reject(0, "code", "reason")], CHUNK)
    assert letters.value.data is CHUNK.value.data


def test_no_rejects_make_no_letters() -> None:
    letters = dead_letter.encode([], CHUNK)
    assert (len(letters), len(letters.key), len(letters.value)) == (0, 0, 0)
