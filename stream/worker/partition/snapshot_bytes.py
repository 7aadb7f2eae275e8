"""The bytes of a snapshot: one table and what is known of it, to a file's content and back.

    header    one line of JSON, see `Header`
    state     rows x words x 8 bytes
    sizes     rows x 8 bytes, length of each key
    keys      one behind the other
    checksum  4 bytes, CRC-32C of all before

Rules of this file
1. Pure: no file, no clock. Whether a snapshot may be used is the business of `snapshots`.
2. A right checksum proves nothing about who wrote it: every number is checked before it is used, and
   nothing is allocated by a number that the bytes at hand do not bear out.
3. What is wrong with the bytes is `Unusable`, nothing else.
"""

from __future__ import annotations

import codecs
from typing import Annotated

import crc32c
import msgspec
import numpy as np
from msgspec import Meta

from stream.columns import Bytes, Int64s, Spans
from stream.events.fields import CUSTOMER_BYTES_MAX
from stream.state.marker import Source
from stream.state.table import CustomerTable

VERSION = 2
_CRC_BYTES = 4
_WORD_BYTES = 8
_HEADER_BYTES_MAX = 4 << 20  # 65,536 runs of topics with names of the longest kind need less
_TEXT_BLOCK_BYTES = 1 << 20

_Offset = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """First line of the file.

    Attributes:
        version: Of this format.
        changelog: Name of the changelog topic, which carries the digest of the row layout.
        partition: Of the changelog.
        offset: Of the newest marker of the changelog up to which the table contains all.
        marker: That marker, as it stands there.
        covered: See `stream.state.marker.Marker`.
        order: See `stream.state.marker.Marker`.
        sources: See `stream.state.marker.Marker`.
        rows: Customers.
        words: 8-byte words of a row.
        saved_s: When it was written, epoch seconds.
    """

    version: int
    changelog: str
    partition: int
    offset: _Offset
    marker: bytes
    covered: dict[str, _Offset]
    order: list[tuple[str, _Offset]]
    sources: dict[str, Source] = {}
    rows: Annotated[int, Meta(ge=0, lt=1 << 31)]
    words: Annotated[int, Meta(ge=1, lt=1 << 31)]
    saved_s: float


class Unusable(ValueError):
    """A snapshot that is damaged, forged, too old, or of something else."""


def encode(header: Header, table: CustomerTable) -> tuple[memoryview, ...]:
    """The pieces of a file, to be written one after the other; views, unless customers were erased.

    Args:
        header: Its rows and words are those of the table.
        table: Not changed while the pieces are in use.
    """
    rows = table.live
    keys, state = table.key_spans(rows), table.state
    text = keys.data[: int(keys.size.sum())]  # those of a table lie one behind the other
    if len(rows) < table.rows:  # with gaps where customers were erased
        state = state[rows]
        text = np.frombuffer(b"".join(table.keys()), np.uint8)
    pieces = (
        memoryview(msgspec.json.encode(header) + b"\n"),
        state.reshape(-1).view(np.uint8).data,
        keys.size.view(np.uint8).data,
        text.data,
    )
    crc = 0
    for piece in pieces:
        crc = crc32c.crc32c(piece, crc)
    return (*pieces, memoryview(crc.to_bytes(_CRC_BYTES, "little")))


def decode(data: bytes) -> tuple[Header, memoryview]:
    """The header of a file, and what follows it without the checksum.

    Raises:
        Unusable: The checksum is wrong, or there is no header.
    """
    whole = memoryview(data)[:-_CRC_BYTES]
    if crc32c.crc32c(whole).to_bytes(_CRC_BYTES, "little") != data[-_CRC_BYTES:]:
        raise Unusable("expected what was written, got another checksum")
    end = data.find(b"\n", 0, _HEADER_BYTES_MAX)
    if not 0 <= end < len(whole):
        raise Unusable(f"expected a header of at most {_HEADER_BYTES_MAX} bytes, got none")
    try:
        return msgspec.json.decode(data[:end], type=Header), whole[end + 1 :]
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise Unusable(f"header: {exc}") from exc


def table_of(header: Header, body: memoryview) -> CustomerTable:
    """The table of what `decode` gave.

    Raises:
        Unusable: The sizes do not add up to the body, or a key is none or comes twice.
    """
    state_bytes, size_bytes = _WORD_BYTES * header.rows * header.words, _WORD_BYTES * header.rows
    if state_bytes + size_bytes > len(body):
        raise Unusable(
            f"expected {state_bytes + size_bytes} bytes at least for {header.rows} rows of "
            f"{header.words} words, got {len(body)}"
        )
    size = np.frombuffer(body[state_bytes : state_bytes + size_bytes], np.int64).copy()
    keys = np.frombuffer(body[state_bytes + size_bytes :], np.uint8)
    start = _starts(size, len(keys))
    _expect_text(keys, start)
    table = CustomerTable(header.words)
    table.rows_for(Spans(keys, start, size))
    if len(table) != header.rows:
        raise Unusable(f"expected {header.rows} different keys, got {len(table)}")
    table.state[:] = np.frombuffer(body[:state_bytes], np.float64).reshape(-1, header.words)
    return table


def _starts(size: Int64s, key_bytes: int) -> Int64s:
    """Where each key begins. The sum cannot wrap: 2**31 keys of at most 512 bytes."""
    if size.size and not (size.min() >= 1 and size.max() <= CUSTOMER_BYTES_MAX):
        raise Unusable(
            f"expected keys of 1 to {CUSTOMER_BYTES_MAX} bytes, got {size.min()} to {size.max()}"
        )
    end = np.cumsum(size)
    total = int(end[-1]) if end.size else 0
    if total != key_bytes:
        raise Unusable(f"expected {total} bytes of keys, got {key_bytes}")
    return end - size


def _expect_text(keys: Bytes, start: Int64s) -> None:
    """Customer ids are UTF-8: so are all keys together, and none begins inside a character."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for at in range(0, len(keys), _TEXT_BLOCK_BYTES):
            decoder.decode(keys[at : at + _TEXT_BLOCK_BYTES].data)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as exc:
        raise Unusable(f"expected keys in UTF-8, got {exc.reason}") from exc
    if ((keys[start] & 0xC0) == 0x80).any():
        raise Unusable("expected keys in UTF-8, got one that begins inside a character")
