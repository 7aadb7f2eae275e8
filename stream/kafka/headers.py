"""Record headers as the bytes that they are on the wire: read, written, and one of a name found.

    count, then of each header: size and bytes of the name, size (-1 for null) and bytes of the content

all numbers zigzag varints. A chunk carries the headers of its records as spans of such bytes, so that
nobody pays for what nobody asks for.

Rules of this file
1. Headers are foreign bytes: every count and size is compared with what is left. What does not follow
   the format ends the headers of its record.
2. Of headers with the same name the last counts, as for Kafka's own clients (`lastHeader`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numba
import numpy as np

from stream.columns import Bytes, Int64s, Spans
from stream.compiled.borrow import borrow
from stream.kafka.record_kernels import read_varint

Header: TypeAlias = tuple[str, bytes | None]
"""Name and content. Bytes of a name that are no UTF-8 are lone surrogates (`surrogateescape`)."""

_HEADER_BYTES_MIN = 2  # two sizes

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


def read_headers(raw: bytes | None) -> list[Header]:
    """The headers that the bytes of a record say, in their order; plainly, for few records."""
    return list(_headers(raw or b""))


def _headers(raw: bytes) -> Iterator[Header]:
    count, at = _number(raw, 0)
    if count > (len(raw) - at) // _HEADER_BYTES_MIN:
        return
    for _ in range(count):
        size, start = _number(raw, at)
        if start < 0 or size < 0 or size > len(raw) - start:
            return
        name = raw[start : start + size]
        size, at = _number(raw, start + size)
        if at < 0 or size < -1 or size > len(raw) - at:
            return
        content = raw[at : at + size] if size >= 0 else None
        at += max(size, 0)
        yield name.decode("utf-8", "surrogateescape"), content


def _number(raw: bytes, at: int) -> tuple[int, int]:
    """The zigzag varint at a position, and the position after it; -1 when there is none."""
    value = 0
    for k, byte in enumerate(raw[at : at + 10] if at >= 0 else b""):
        value |= (byte & 0x7F) << 7 * k
        if byte < 0x80:
            value &= (1 << 64) - 1
            return (value >> 1) ^ -(value & 1), at + k + 1
    return 0, -1


def write_headers(headers: Sequence[Header]) -> bytes:
    """The bytes that `read_headers` reads; none at all for no headers."""
    if not headers:
        return b""
    return varint(len(headers)) + b"".join(write_header(*header) for header in headers)


def write_header(name: str, content: bytes | None) -> bytes:
    """One header, without the number of headers before it."""
    encoded = name.encode("utf-8", "surrogateescape")
    said = varint(-1) if content is None else varint(len(content)) + content
    return varint(len(encoded)) + encoded + said


def varint(value: int) -> bytes:
    """Zigzag varint of a number, as in the record format."""
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append((rest & 0x7F) | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def header_spans(headers: Sequence[Sequence[Header]]) -> Spans | None:
    """The headers of n records as a `RecordChunk` has them, None when none has any."""
    return Spans.of([write_headers(own) for own in headers]) if any(headers) else None


def last_contents(headers: Spans, name: bytes) -> Spans:
    """The content of the last header of a name in each record.

    Args:
        headers: Of n records, as in `RecordChunk.headers`.
        name: Name of the header.

    Returns:
        Spans of the same buffer, null where there is no such header or its content is null.
    """
    start, size = np.zeros((2, len(headers)), np.int64)
    data = headers.data.view()
    data.flags.writeable = False
    _find_last(data, headers.start, headers.size, np.frombuffer(name, np.uint8), start, size)
    return Spans(headers.data, start, size)


@_jit
def _find_last(
    data: Bytes, starts: Int64s, sizes: Int64s, name: Bytes, out_start: Int64s, out_size: Int64s
) -> None:
    """Fills the last two."""
    data, name = borrow(data), borrow(name)
    for i in range(len(starts)):
        out_size[i] = -1
        if sizes[i] <= 0:
            continue
        stop = starts[i] + sizes[i]
        count, at = header_count(data, starts[i], stop)
        k = 0
        while k < count and at >= 0:
            name_at, name_size, at, size = next_header(data, at, stop)
            k += 1
            if at >= 0 and is_name(data, name_at, name_size, name):
                out_start[i], out_size[i] = at, size
            at += max(size, 0) * (at >= 0)


@_jit
def header_count(data: Bytes, at: int, stop: int) -> tuple[int, int]:
    """How many headers begin at a position, and where the first does; no more than there is room for."""
    count, at = read_varint(data, at, stop)
    return (0, at) if at < 0 or count > (stop - at) // _HEADER_BYTES_MIN else (count, at)


@_jit
def next_header(data: Bytes, at: int, stop: int) -> tuple[int, int, int, int]:
    """The header at a position: start and size of its name, start and size of its content.

    The size of the content is -1 for null. Its start is -1 when no header follows the format there.
    """
    size, start = read_varint(data, at, stop)
    if start < 0 or size < 0 or size > stop - start:
        return 0, 0, -1, -1
    content_size, content = read_varint(data, start + size, stop)
    if content < 0 or content_size < -1 or content_size > stop - content:
        return 0, 0, -1, -1
    return start, size, content, content_size


@_jit
def is_name(data: Bytes, at: int, size: int, name: Bytes) -> bool:
    """Whether data[at:at+size] is a name."""
    if size != len(name):
        return False
    for i in range(size):  # noqa: SIM110  # numba compiles no generator
        if data[at + i] != name[i]:
            return False
    return True
