"""The bodies of compressed record batches, unpacked within a bound.

What a batch unpacks to is not what it says and not what it weighs: a kilobyte can hold a gigabyte. So
the buffer comes first and the codec writes into it; a batch that does not fit fails before the memory
for it is used.

Rules of this file
1. Nothing grows beyond the bound, whatever the bytes are.
2. What a codec raises never leaves this file: bytes that cannot be unpacked are `Damaged`.
3. The framings are those of aiokafka, and so of Kafka: frames of gzip, lz4 and zstd, one after
   another, and blocks of snappy, bare or in the stream of xerial.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import cramjam
import numpy as np

from stream.columns import Bytes

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4

_Into = Callable[[Any, Any], int]
_FRAMED: dict[int, tuple[str, _Into]] = {
    GZIP: ("gzip", cramjam.gzip.decompress_into),
    LZ4: ("lz4", cramjam.lz4.decompress_into),
    ZSTD: ("zstd", cramjam.zstd.decompress_into),
}
_decompress_block: _Into = cramjam.snappy.decompress_raw_into
_XERIAL = b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1)
_FULL = "failed to write whole buffer"  # tests/stream/kafka/test_unpack.py fails when cramjam words it otherwise
_EXPECTED_RATIO = 8
_GROWTH = 4
_BUFFER_BYTES_MIN = 1 << 16


class Damaged(Exception):
    """A batch cannot be unpacked; the message says what was expected and what came."""


class TooLarge(Damaged):
    """A batch unpacks to more than the bound."""


class Unpacker:
    """Unpacks batches one after the other into one buffer.

    Args:
        bytes_max: Most bytes of all of them together; a batch that was not compressed is taken
            whatever its size, since it is in memory already.
        packed_bytes: Bytes of all of them as they came, for the size to begin with.
    """

    def __init__(self, bytes_max: int, packed_bytes: int) -> None:
        self._bytes_max = bytes_max
        self._used = 0
        first = max(_EXPECTED_RATIO * packed_bytes, _BUFFER_BYTES_MIN)
        self._out: Bytes = np.empty(min(first, bytes_max), np.uint8)

    def add(self, codec: int, body: memoryview) -> tuple[int, int] | None:
        """Unpacks one more batch.

        Args:
            codec: 0 for none, else `GZIP` ... `ZSTD`.
            body: The records of the batch as they came.

        Returns:
            Where its records begin and end in the buffer; None when they do not fit beside the
            others.

        Raises:
            TooLarge: It would not even fit alone.
            Damaged: It cannot be unpacked.
        """
        begin = self._used
        try:
            if codec == 0 or len(body) == 0:  # compaction may leave a batch without records
                end = self._copy(body)
            elif codec == SNAPPY:
                end = self._snappy(body)
            elif codec in _FRAMED:
                end = self._framed(*_FRAMED[codec], body)
            else:
                raise Damaged(f"expected compression codec 0 to 4, got {codec}")
        except TooLarge:
            if begin > 0:
                return None
            raise
        except MemoryError as exc:
            raise TooLarge(f"expected memory for {self._bytes_max} bytes, got none") from exc
        self._used = end
        return begin, end

    def bytes(self) -> Bytes:
        """What was unpacked, read-only. Shape (bytes,), uint8."""
        out = self._out[: self._used]
        out.flags.writeable = False
        return out

    def _copy(self, body: memoryview) -> int:
        end = self._used + len(body)
        if end > self._bytes_max and self._used > 0:
            raise self._too_large()
        if end > len(self._out):
            self._grow(max(end, min(_GROWTH * end, self._bytes_max)))
        self._out[self._used : end] = np.frombuffer(body, np.uint8)
        return end

    def _framed(self, name: str, into: _Into, body: memoryview) -> int:
        while True:
            try:
                return self._used + into(body, self._out[self._used :])
            except (cramjam.DecompressionError, ValueError, OSError) as exc:
                # Most likely it is full; what is broken breaks again, and there the text decides.
                if len(self._out) < self._bytes_max:
                    self._grow(min(_GROWTH * len(self._out), self._bytes_max))
                elif _FULL in str(exc):
                    raise self._too_large() from exc
                else:
                    raise Damaged(f"expected {name}, got bytes that are none: {exc}") from exc

    def _snappy(self, body: memoryview) -> int:
        if body[: len(_XERIAL)] != _XERIAL:
            return self._block(body, self._used)
        at, end = len(_XERIAL), self._used
        while at < len(body):
            size = int.from_bytes(body[at : at + 4], "big", signed=True)
            at += 4
            if size < 0 or size > len(body) - at:
                raise Damaged(
                    f"expected a snappy block of up to {len(body) - at} bytes, got {size}"
                )
            end = self._block(body[at : at + size], end)
            at += size
        return end

    def _block(self, block: memoryview, at: int) -> int:
        """Unpacks a block, whose first bytes say what it unpacks to."""
        try:
            size = cramjam.snappy.decompress_raw_len(block)
            if size > self._bytes_max - at:
                raise self._too_large()
            if size > len(self._out) - at:
                self._grow(min(_GROWTH * (at + size), self._bytes_max), at)
            return at + _decompress_block(block, self._out[at : at + size])
        except (cramjam.DecompressionError, ValueError, OSError) as exc:
            raise Damaged(f"expected snappy, got bytes that are none: {exc}") from exc

    def _grow(self, size: int, keep: int | None = None) -> None:
        keep = self._used if keep is None else keep
        out = np.empty(size, np.uint8)
        out[:keep] = self._out[:keep]
        self._out = out

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"expected a batch that unpacks to {self._bytes_max} bytes at most "
            "(worker.unpacked_bytes_max), got more"
        )
