"""Record batches made from a seed: sound ones, and ones broken in every way that a checksum allows."""

from __future__ import annotations

import random

import aiokafka.codec as stock
import crc32c

_ENCODE = {
    1: stock.gzip_encode, 2: stock.snappy_encode, 3: stock.lz4_encode, 4: stock.zstd_encode,
}  # fmt: skip
_NUMBERS = (
    0, 1, 2, 5, 6, 7, 60, 61, 127, 128, 2**14, 2**31 - 1, 2**31, 2**32, 2**62, 2**63 - 2, 2**63 - 1,
)  # fmt: skip


def number(rng: random.Random) -> int:
    """A number near where something wraps."""
    value = rng.choice(_NUMBERS) + rng.choice((0, 0, 0, 1, -1))
    return rng.choice((value, -value, -value - 1))


def varint(value: int) -> bytes:
    """Zigzag, 64 bits."""
    rest = ((value << 1) ^ (value >> 63)) & (2**64 - 1)
    out = bytearray()
    while rest > 0x7F:
        out.append((rest & 0x7F) | 0x80)
        rest >>= 7
    return bytes([*out, rest])


def _content(rng: random.Random, wrong: float) -> bytes:
    if rng.random() < wrong:
        return varint(number(rng)) + rng.randbytes(rng.randrange(6))
    if rng.random() < 0.1:
        return varint(-1)
    content = rng.randbytes(rng.choice((0, 1, 3, 30, 200)))
    return varint(len(content)) + content


def _record(rng: random.Random, step: int, wrong: float) -> bytes:
    body = b"\0" + varint(number(rng) if rng.random() < wrong else rng.randrange(-9, 9_999))
    body += varint(number(rng) if rng.random() < wrong else step)
    body += _content(rng, wrong) + _content(rng, wrong)
    headers = rng.choice((0, 0, 0, 1, 3))
    body += varint(number(rng) if rng.random() < wrong else headers)
    for _ in range(headers):
        body += varint(2) + b"hh" + _content(rng, wrong)
    if rng.random() < wrong:
        body = body[: rng.randrange(len(body))]
    return varint(number(rng) if rng.random() < wrong else len(body)) + body


def batch(rng: random.Random, base: int) -> bytes:
    """One batch; in one of two everything is as it should be."""
    wrong = rng.choice((0.0, 0.0, 0.01, 0.1))
    count = rng.choice((0, 1, 2, 5, 40))
    records = [_record(rng, i, wrong) for i in range(count)]
    if wrong and rng.random() < 0.1:
        records = [bytes.fromhex("0a0000000101")] * rng.randrange(1, 700)
        count = len(records)
    body = b"".join(records)
    if wrong and rng.random() < 0.3:
        body = _mutated(rng, body)
    codec = rng.choice((0, 0, 1, 2, 3, 4)) if rng.random() > wrong else rng.randrange(8)
    if codec in _ENCODE:
        body = _ENCODE[codec](body)
        if wrong and rng.random() < 0.3:
            body = _mutated(rng, body)

    def field(size: int, value: int) -> bytes:
        if rng.random() < wrong:
            value = number(rng)
        return (value & ((1 << 8 * size) - 1)).to_bytes(size, "big")

    control = 0x20 if rng.random() < 0.05 else 0
    tail = (
        field(2, codec | control | rng.choice((0, 0, 8, 16))) + field(4, max(count - 1, 0))
        + field(8, 1_700_000_000_000) + field(8, 1_700_000_009_999)
        + field(8, 7) + field(2, 0) + field(4, 0) + field(4, count) + body
    )  # fmt: skip
    length = field(4, len(tail) + 9) if rng.random() < wrong else (len(tail) + 9).to_bytes(4, "big")
    magic = bytes([rng.randrange(4)]) if rng.random() < wrong / 4 else b"\2"
    crc = crc32c.crc32c(tail).to_bytes(4, "big")
    return field(8, base) + length + bytes(4) + magic + crc + tail


def _mutated(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.randrange(1, 5)):
        if out:
            out[rng.randrange(len(out))] = rng.randrange(256)
    if rng.random() < 0.2:
        del out[rng.randrange(len(out) + 1) :]
    if rng.random() < 0.2:
        out += rng.randbytes(rng.randrange(1, 20))
    return bytes(out)


def response(rng: random.Random) -> bytes:
    """What a fetch may bring: some batches, the last one often cut off."""
    data, base = b"", rng.choice((0, 5, 2**40))
    for _ in range(rng.choice((1, 1, 2, 4))):
        data += batch(rng, base)
        base += 40
    if rng.random() < 0.2:
        data = data[: rng.randrange(len(data) + 1)]
    return data
