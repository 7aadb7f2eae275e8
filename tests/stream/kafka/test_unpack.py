"""Compressed bodies of batches: a bound before memory is used, and no exception of a codec."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import aiokafka.codec as stock
import cramjam
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.kafka.unpack import GZIP, LZ4, SNAPPY, ZSTD, Damaged, TooLarge, Unpacker

MIB = 1 << 20
ENCODE: dict[int, Callable[[bytes], bytes]] = {
    GZIP: stock.gzip_encode, SNAPPY: stock.snappy_encode, LZ4: stock.lz4_encode,
    ZSTD: stock.zstd_encode,
}  # fmt: skip
CODECS = sorted(ENCODE)


def unpack(codec: int, body: bytes, bytes_max: int = MIB) -> bytes:
    unpacker = Unpacker(bytes_max, len(body))
    placed = unpacker.add(codec, memoryview(body))
    assert placed == (0, len(unpacker.bytes()))
    return unpacker.bytes().tobytes()


@given(st.lists(st.tuples(st.sampled_from([0, *CODECS]), st.binary(max_size=300)), max_size=6),
       st.integers(1, 40_000))  # fmt: skip
def test_gives_back_what_was_packed(parts: list[tuple[int, bytes]], times: int) -> None:
    bodies = [(codec, content * (times if codec else 1)) for codec, content in parts]
    packed = [ENCODE[codec](body) if codec else body for codec, body in bodies]
    unpacker = Unpacker(128 * MIB, sum(map(len, packed)))
    placed = [
        unpacker.add(codec, memoryview(body))
        for (codec, _), body in zip(bodies, packed, strict=True)
    ]
    out = unpacker.bytes()
    assert not out.flags.writeable
    for place, (_, body) in zip(placed, bodies, strict=True):
        assert place is not None
        assert out[slice(*place)].tobytes() == body


def test_bare_snappy_is_read_as_well() -> None:
    body = b"some text " * 1_000
    assert unpack(SNAPPY, bytes(stock.snappy_encode(body, xerial_compatible=False))) == body


@pytest.mark.parametrize("codec", CODECS)
def test_exactly_the_bound_fits_and_a_byte_more_does_not(codec: int) -> None:
    assert len(unpack(codec, ENCODE[codec](bytes(MIB)))) == MIB
    with pytest.raises(TooLarge, match=r"1048576 bytes at most .*unpacked_bytes_max.*got more"):
        unpack(codec, ENCODE[codec](bytes(MIB + 1)))


@pytest.mark.parametrize("codec", CODECS)
def test_what_does_not_fit_beside_others_is_left(codec: int) -> None:
    body = ENCODE[codec](bytes(MIB // 2 + 1))
    unpacker = Unpacker(MIB, 2 * len(body))
    assert unpacker.add(codec, memoryview(body)) == (0, MIB // 2 + 1)
    assert unpacker.add(codec, memoryview(body)) is None
    assert unpacker.add(0, memoryview(bytes(MIB))) is None
    assert unpacker.add(0, memoryview(b"abc")) == (MIB // 2 + 1, MIB // 2 + 4)


def test_a_batch_that_was_not_compressed_is_taken_whatever_its_size() -> None:
    assert unpack(0, bytes(3 * MIB)) == bytes(3 * MIB)


@pytest.mark.parametrize("codec", CODECS)
@given(data=st.data())
def test_broken_bytes_are_damaged_and_nothing_else(codec: int, data: st.DataObject) -> None:
    body = bytearray(ENCODE[codec](bytes(range(256)) * 40))
    kind = data.draw(st.sampled_from(["cut", "flip", "trail", "junk"]))
    if kind == "cut":
        del body[data.draw(st.integers(0, len(body) - 1)) :]
    elif kind == "flip":
        for at in data.draw(st.lists(st.integers(0, len(body) - 1), min_size=1, max_size=8)):
            body[at] ^= data.draw(st.integers(1, 255))
    elif kind == "trail":
        body += data.draw(st.binary(min_size=1, max_size=30))
    else:
        body = bytearray(data.draw(st.binary(max_size=60)))
    with suppress(Damaged):
        unpack(codec, bytes(body))


@pytest.mark.parametrize("codec", CODECS)
def test_a_stream_that_is_cut_or_followed_by_something_is_damaged(codec: int) -> None:
    body = ENCODE[codec](bytes(range(256)) * 40)
    for broken in (body[:-9], body + b"\x01\x02\x03\x04\x05"):
        with pytest.raises(Damaged):
            unpack(codec, broken)


def test_a_codec_that_there_is_not_is_damaged() -> None:
    with pytest.raises(Damaged, match="compression codec 0 to 4, got 6"):
        unpack(6, b"abc")


@pytest.mark.parametrize("codec", [GZIP, ZSTD, LZ4])
def test_a_bomb_takes_no_more_than_the_bound(codec: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    empty = np.empty

    def counted(shape: int, dtype: type) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        made.append(shape)
        return empty(shape, dtype)

    monkeypatch.setattr("stream.kafka.unpack.np.empty", counted)
    bomb = ENCODE[codec](bytes(64 * MIB))
    with pytest.raises(TooLarge):
        unpack(codec, bomb, 2 * MIB)
    assert max(made) == 2 * MIB


def test_a_size_of_snappy_that_cannot_be_is_refused_before_memory_is_used() -> None:
    claims = (
        b"\xff\xff\xff\xff\x0f" + bytes(stock.snappy_encode(b"abc", xerial_compatible=False))[1:]
    )
    with pytest.raises(TooLarge):
        unpack(SNAPPY, claims)
    stream = stock.snappy_encode(b"abc")
    for size in (2**31 - 1, -5):
        with pytest.raises(Damaged, match="snappy block"):
            unpack(SNAPPY, stream[:16] + size.to_bytes(4, "big", signed=True) + stream[20:])


def test_no_memory_is_told_as_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    unpacker = Unpacker(64 * MIB, 10)
    body = memoryview(stock.zstd_encode(bytes(MIB)))
    monkeypatch.setattr("stream.kafka.unpack.np.empty", _no_memory)
    with pytest.raises(TooLarge, match="expected memory for"):
        unpacker.add(ZSTD, body)


def _no_memory(*_: object) -> None:
    raise MemoryError


def test_how_cramjam_words_a_full_buffer() -> None:
    for codec, into in ((GZIP, cramjam.gzip), (LZ4, cramjam.lz4), (ZSTD, cramjam.zstd)):
        with pytest.raises(cramjam.DecompressionError, match="failed to write whole buffer"):
            into.decompress_into(ENCODE[codec](bytes(1_000)), np.empty(10, np.uint8))
