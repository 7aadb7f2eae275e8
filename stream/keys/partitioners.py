"""The partitioners of the clients that are in use: which partition each gives a key.

| name | clients |
| --- | --- |
| murmur2 | Java, Kafka Connect, kafka-python, aiokafka, KafkaJS from 2.0 on; librdkafka's murmur2 |
| crc32 | librdkafka's own choice: confluent-kafka, rdkafka, Confluent's .NET and Go |
| fnv1a | Sarama, kafka-go |

All take the hash of the whole key, modulo the number of partitions.
"""

from __future__ import annotations

import binascii
from typing import NamedTuple

import numba
import numpy as np

from stream.columns import Bytes

_SEED = np.uint32(0x9747B28C)
_M = np.uint32(0x5BD1E995)
_FNV_OFFSET = np.uint32(2_166_136_261)
_FNV_PRIME = np.uint32(16_777_619)

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


class KeyHashes(NamedTuple):
    """What each partitioner takes modulo the number of partitions; all are 0 or more."""

    murmur2: int
    crc32: int
    fnv1a: int


PARTITIONERS = KeyHashes._fields


def key_hashes(key: bytes) -> KeyHashes:
    """The hashes of one key that is not empty."""
    data = np.frombuffer(key, np.uint8)
    # Java clears the sign of its 32 bits, Sarama takes the absolute value of them.
    fnv1a = int(_fnv1a(data))
    return KeyHashes(
        int(_murmur2(data)) & 0x7FFFFFFF,
        binascii.crc32(key),
        (1 << 32) - fnv1a if fnv1a >> 31 else fnv1a,
    )


@_jit
def _murmur2(data: Bytes) -> np.uint32:
    size = len(data)
    value = _SEED ^ np.uint32(size)
    whole = size - size % 4
    for i in range(0, whole, 4):
        k = (
            np.uint32(data[i])
            | np.uint32(data[i + 1]) << np.uint32(8)
            | np.uint32(data[i + 2]) << np.uint32(16)
            | np.uint32(data[i + 3]) << np.uint32(24)
        )
        k = np.uint32(k * _M)
        k ^= k >> np.uint32(24)
        k = np.uint32(k * _M)
        value = np.uint32(value * _M) ^ k
    if whole < size:
        for i in range(size - 1, whole - 1, -1):
            value ^= np.uint32(data[i]) << np.uint32(8 * (i - whole))
        value = np.uint32(value * _M)
    value ^= value >> np.uint32(13)
    value = np.uint32(value * _M)
    return np.uint32(value ^ (value >> np.uint32(15)))


@_jit
def _fnv1a(data: Bytes) -> np.uint32:
    value = _FNV_OFFSET
    for byte in data:
        value = np.uint32((value ^ np.uint32(byte)) * _FNV_PRIME)
    return value
