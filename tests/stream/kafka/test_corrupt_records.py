"""Batches with a right checksum that do not follow the format: refused, with their offsets."""

from __future__ import annotations

import pickle

import crc32c
import pytest

from stream.kafka.batch_checks import CorruptRecords
from stream.kafka.client import ChunkRecords, FetchedBytes
from stream.kafka.records import RecordReader
from stream.kafka.skip_list import ReadRules
from stream.kafka.unpack import ZSTD
from tests.fuzz.batches import varint
from tests.stream.kafka.test_records import read, rows, stock_batch
from tests.stream.kafka.test_unpack import CODECS, ENCODE, MIB

INT64_MAX = 2**63 - 1


def record(
    step: int = 0,
    later: int = 0,
    key: bytes = b"\x01",
    value: bytes = b"\x02v",
    tail: bytes = b"\0",
) -> bytes:
    body = b"\0" + varint(later) + varint(step) + key + value + tail
    return varint(len(body)) + body


def batch(
    body: bytes, count: int = 1, base: int = 40, delta: int | None = None, codec: int = 0,
    first_ms: int = 1_000,
) -> bytes:  # fmt: skip
    tail = codec.to_bytes(2, "big") + (count - 1 if delta is None else delta).to_bytes(
        4, "big", signed=True
    )
    tail += (
        first_ms.to_bytes(8, "big", signed=True) * 2
        + bytes(14)
        + count.to_bytes(4, "big", signed=True)
    )
    tail += body
    crc = crc32c.crc32c(tail).to_bytes(4, "big")
    return (
        base.to_bytes(8, "big", signed=True)
        + (len(tail) + 9).to_bytes(4, "big")
        + bytes(4)
        + b"\2"
        + crc
        + tail
    )


def refusal(data: bytes, position: int = 0, match: str | None = None) -> CorruptRecords:
    with pytest.raises(CorruptRecords, match=match) as caught:
        list(read(data, position))
    assert str(caught.value).startswith("t/0: expected ")
    return caught.value


BROKEN = {
    "records of six bytes": (batch(bytes.fromhex("0a0000000101") * 700, 700), "a count of 700"),
    "more records than bytes": (batch(record(), 700), "a count of 700"),
    "a negative count": (batch(record(), -1, delta=0), "0 to 1 records, got a count of -1"),
    "a count beyond the offsets": (batch(record(), 2, delta=0), "0 to 1 records, got a count of 2"),
    "a huge count": (batch(record(), 2**31 - 1), "a count of 2147483647"),
    "fewer records than there are": (batch(record() + record(1), 1, delta=1), "more bytes after"),
    "a negative last delta": (batch(record(), 1, delta=-1), "offsets from 0 on, got 40 and -1"),
    "a base that wraps": (batch(record(), base=INT64_MAX), "offsets from 0 on"),
    "a negative base": (batch(record(), base=-1), "offsets from 0 on, got -1"),
    "an offset beyond the last": (batch(record(1)), "offsets that rise"),
    "a negative offset": (batch(record(-1)), "offsets that rise"),
    "the same offset twice": (batch(record() * 2, 2), "offsets that rise within .* at record 1"),
    "a value that wraps": (batch(record(value=varint(INT64_MAX) + b"v")), "from record 0 on"),
    "a key that wraps": (batch(record(key=varint(INT64_MAX))), "from record 0 on"),
    "a size below null": (batch(record(value=varint(-2))), "from record 0 on"),
    "a length that wraps": (batch(varint(INT64_MAX) + record()), "from record 0 on"),
    "a record of no bytes": (batch(b"\0" * 7), "from record 0 on"),
    "no number of headers": (batch(record(tail=b"") + b"\0"), "from record 0 on"),
    "a negative number of headers": (batch(record(tail=varint(-1))), "from record 0 on"),
    "more headers than bytes": (batch(record(tail=varint(INT64_MAX))), "from record 0 on"),
    "a header that wraps": (batch(record(tail=b"\2" + varint(INT64_MAX) + b"hh")), "record 0"),
    "a header value that wraps": (batch(record(tail=b"\2\2h" + varint(INT64_MAX))), "record 0"),
    "bytes after the headers": (batch(record(tail=b"\0\0")), "from record 0 on"),
    "a time beyond int64": (batch(record(later=1), first_ms=INT64_MAX), "timestamps of 64 bits"),
    "a time before int64": (batch(record(later=-1), first_ms=-(2**63)), "timestamps of 64 bits"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_the_format_is_refused(name: str) -> None:
    data, match = BROKEN[name]
    refused = refusal(data, match=match)
    assert (refused.topic, refused.partition) == ("t", 0)
    assert f"at offset {refused.first} " in str(refused)


def test_sound_records_at_the_edges_are_read() -> None:
    last = INT64_MAX - 1
    assert rows(read(batch(record(), base=last))) == [(last, 1_000, None, b"v")]
    assert rows(read(batch(record(later=-1, key=b"\0", value=b"\1"), first_ms=-(2**63) + 1))) == [
        (40, -(2**63), b"", None)
    ]
    headers = varint(1) + varint(1) + b"h" + varint(-1)
    assert len(rows(read(batch(record(tail=headers))))) == 1
    assert rows(read(batch(b"", 0, delta=5), 40)) == []


def test_what_comes_before_a_broken_batch_is_given_out_first() -> None:
    data = stock_batch([(b"a", b"1")], 3) + batch(record(1))
    reader = read(data, 3)
    assert next(reader).offset.tolist() == [3]
    with pytest.raises(CorruptRecords, match=r"at offset 40 \(the batch ends with offset 40\)"):
        next(reader)
    assert reader.next_offset == 40


def test_a_consumer_hands_out_what_comes_before_and_refuses_when_the_batch_comes_first() -> None:
    data = stock_batch([(b"a", b"1")], 3) + batch(record(1))

    def fetch(position: int) -> ChunkRecords:
        tp = type("TP", (), {"topic": "t", "partition": 0})()
        return ChunkRecords(10, tp, FetchedBytes(data), None, position, None, None, True, 0)

    before = fetch(3)
    assert [(one.start, one.chunk.next_offset) for one in before] == [(3, 40)]
    assert before.next_fetch_offset == 40
    with pytest.raises(CorruptRecords):
        next(fetch(40))


def test_offsets_do_not_go_back_from_batch_to_batch() -> None:
    data = stock_batch([(b"a", b"1"), (b"b", b"2")], 3)
    data += stock_batch([(b"c", b"3")], 4)
    refused = refusal(data, match="expected offsets from 5 on, got 4")
    assert (refused.first, refused.last) == (5, 5)


@pytest.mark.parametrize("size", [-(2**31), -1, 0, 48])
def test_a_length_that_cannot_be_is_refused(size: int) -> None:
    data = bytearray(stock_batch([(b"a", b"1")], 3))
    data[8:12] = size.to_bytes(4, "big", signed=True)
    refusal(bytes(data), 3, "expected a batch of 61 bytes or more")
    assert refusal(stock_batch([(b"a", b"1")], 2) + bytes(data), 2).first == 3


def test_a_response_without_one_whole_batch_is_refused() -> None:
    data = stock_batch([(b"a", b"1")], 3)
    refusal(data[:-1], 3, f"a whole batch of {len(data)} bytes, got {len(data) - 1}")


def test_an_old_format_is_refused_however_short() -> None:
    old = (5).to_bytes(8, "big") + (14).to_bytes(4, "big") + bytes(4) + b"\1" + bytes(9)
    refusal(old, 5, "expected record format v2, got v1")


@pytest.mark.parametrize("codec", CODECS)
def test_a_bomb_is_refused_with_its_offsets_and_what_to_set(codec: int) -> None:
    rules = ReadRules(MIB, topics=frozenset({"t"}))
    bomb = batch(ENCODE[codec](bytes(2 * MIB)), 3, codec=codec)
    with pytest.raises(CorruptRecords, match=r"raise worker.unpacked_bytes_max") as caught:
        list(RecordReader("t", 0, bomb, 0, 10, rules=rules))
    assert (caught.value.first, caught.value.last) == (40, 42)
    assert str(caught.value).endswith("skip = [{ topic = 't', partition = 0, from = 40, to = 42 }]")


def test_what_a_fetch_unpacks_to_is_bounded_too_and_the_rest_is_fetched_again() -> None:
    value = varint(MIB * 2 // 3) + bytes(MIB * 2 // 3)
    packed = ENCODE[ZSTD](record(value=value))
    data = b"".join(batch(packed, base=base, codec=ZSTD) for base in (40, 41, 42))
    seen: list[int] = []
    position = 40
    while position < 43:
        reader = RecordReader("t", 0, data, position, 10, rules=ReadRules(MIB))
        seen += [int(offset) for chunk in reader for offset in chunk.offset]
        assert reader.next_offset == position + 1
        position = reader.next_offset
    assert seen == [40, 41, 42]


@pytest.mark.parametrize("codec", CODECS)
def test_a_broken_codec_is_refused_as_any_other(codec: int) -> None:
    packed = ENCODE[codec](record() * 50)
    for body in (packed[:-6], packed + b"\1\2\3\4\5", b"\x99" * 40):
        assert refusal(batch(body, 50, codec=codec)).first == 40


def test_a_changelog_is_not_skipped_but_rebuilt() -> None:
    topic = "shop-customers-0123456789ab-changelog"
    with pytest.raises(CorruptRecords, match="stop the worker, delete this topic") as caught:
        list(RecordReader(topic, 0, batch(record(1)), 0, 10))
    assert "skip = " not in str(caught.value)


def test_a_refusal_travels_between_processes() -> None:
    refused = refusal(batch(record(1)))
    again: CorruptRecords = pickle.loads(pickle.dumps(refused))
    assert (str(again), again.first, again.last) == (str(refused), 40, 40)
