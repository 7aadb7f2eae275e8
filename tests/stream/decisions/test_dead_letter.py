"""Dead letters keep the record as it came."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.columns import RecordChunk, Reject, Spans
from stream.decisions import dead_letter
from stream.kafka.headers import Header, header_spans, write_headers
from stream.kafka.record_kernels import HEADER_BYTES

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


RECORD_HEADERS: list[list[Header]] = [
    [("ce_id", b"7"), ("offset", b"theirs"), ("original.offset", b"older"), ("ce_id", None)],
    [],
    [("truncated", b"no"), ("\udcff", b"name"), ("headers_bytes", b"1"), ("original.", b"")],
    [("x" * 200, bytes(200))],
]


def lettered(*records: int) -> dead_letter.DeadLetters:
    chunk = replace(CHUNK, headers=header_spans(RECORD_HEADERS))
    return dead_letter.encode([Reject(i, "code", "reason") for i in records], chunk)


def test_the_headers_of_the_record_follow_those_of_the_letter_and_are_told_apart() -> None:
    first, second, third = lettered(0, 1, 2).all_headers()
    own = len(dead_letter.HEADERS)
    assert [name for name, _ in first[:own]] == list(dead_letter.HEADERS)
    assert first[own:] == [
        ("ce_id", b"7"), ("original.offset", b"theirs"), ("original.original.offset", b"older"),
        ("ce_id", None),
    ]  # fmt: skip
    assert second[own:] == []
    assert third[own:] == [
        ("original.truncated", b"no"), ("\\xff", b"name"), ("original.headers_bytes", b"1"),
        ("original.original.", b""),
    ]  # fmt: skip
    assert dead_letter.original_headers(first) == RECORD_HEADERS[0]
    assert dead_letter.original_headers(third)[0] == ("truncated", b"no")


names = st.sampled_from(
    [*dead_letter.HEADERS, *dead_letter.TRUNCATED_HEADERS, "original.", "original.topic", "a", ""]
)


@given(st.lists(st.tuples(names, st.none() | st.binary(max_size=3)), max_size=6))
def test_whatever_they_are_called_the_headers_of_a_record_come_back(headers: list[Header]) -> None:
    chunk = replace(CHUNK.take(np.array([0])), headers=Spans.of([write_headers(headers)]))
    (told,) = dead_letter.encode([Reject(0, "code", "reason")], chunk).all_headers()
    assert dead_letter.original_headers(told) == headers
    said = {name for name, _ in told[len(dead_letter.HEADERS) :]}
    assert said.isdisjoint((*dead_letter.HEADERS, *dead_letter.TRUNCATED_HEADERS))


def test_a_letter_that_does_not_fit_leaves_out_the_headers_of_its_record_first() -> None:
    (whole,) = dead_letter.fit(lettered(3), 1_000)
    assert whole.all_headers()[0][-1] == RECORD_HEADERS[3][0]
    (cut,) = dead_letter.fit(lettered(3), 700)
    assert cut.all_headers()[0][-4:] == [
        ("truncated", b"true"), ("key_bytes", b"0"), ("value_bytes", b"0"),
        ("headers_bytes", str(len(write_headers(RECORD_HEADERS[3]))).encode()),
    ]  # fmt: skip
    assert (cut.key[0], cut.value[0]) == (KEYS[3], VALUES[3])
    (bare,) = dead_letter.fit(lettered(1), 300)
    assert "headers_bytes" not in dict(bare.all_headers()[0])


def test_golden_bytes_of_a_letter_with_headers() -> None:
    chunk = replace(CHUNK, headers=header_spans(RECORD_HEADERS))
    (batch,) = dead_letter.build([Reject(0, "c", "r")], chunk, 0, 1 << 20, 1 << 20)
    assert bytes(batch.buffer[HEADER_BYTES:]).hex() == (
        "b802" "00" "00" "00" "046331" "107b226f6b223a317d" "14"
        "0c726561736f6e" "0272" "08636f6465" "0263" "0a746f706963" "1673686f702d6576656e7473"
        "12706172746974696f6e" "0233" "0c6f6666736574" "043130" "1274696d657374616d70" "0831303030"
        "0a63655f6964" "0237" "1e6f726967696e616c2e6f6666736574" "0c746865697273"
        "306f726967696e616c2e6f726967696e616c2e6f6666736574" "0a6f6c646572" "0a63655f6964" "01"
    )  # fmt: skip
