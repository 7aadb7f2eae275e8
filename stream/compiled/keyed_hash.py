"""SipHash-1-3 of byte strings that others choose, for numba loops over tables in memory.

Who sends events chooses customer ids. With a hash that anybody can compute, ids can be made that all
meet in one slot, and each look-up walks past all of them. SipHash (Aumasson and Bernstein 2012) is a
pseudorandom function of a secret key: without the key nobody can tell which ids collide. FNV from a
secret beginning would not do: its steps carry the difference of two strings along whatever the
beginning is (but for its lowest byte), so strings that collide for one secret do for 2**56 others.
Rust and CPython hash strings this way for the same reason; it takes eight bytes a round, and so is
faster than FNV, which takes one.

Rules of this file
1. A hash by `PROCESS_KEY` is good for this process alone: none is stored, sent, or shows in any result.
2. A hash by a key of words that are written down (`key_of`) is the same everywhere and for ever: draws
   and hold-outs rest on it.
"""

from __future__ import annotations

import hashlib
import os
from typing import TypeAlias

import numba
import numpy as np

from stream.columns import Bytes, Int64s, Spans, UInt64s
from stream.compiled.byteread import word_at

HashKey: TypeAlias = tuple[np.uint64, np.uint64]

_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


def hash_key(secret: bytes) -> HashKey:
    """The key of 16 bytes, as SipHash reads them."""
    first, second = np.frombuffer(secret, "<u8", count=2)
    return np.uint64(first), np.uint64(second)


def key_of(*words: str) -> HashKey:
    """The key that some words stand for; other words, or cut in other places, give another."""
    lengths = "".join(f"{len(word.encode())}:" for word in words)
    return hash_key(hashlib.blake2b((lengths + "".join(words)).encode(), digest_size=16).digest())


PROCESS_KEY = hash_key(os.urandom(16))
"""The key of this process. Nothing that a process puts out depends on it."""


@_inlined
def _rotated(value: np.uint64, bits: int) -> np.uint64:
    return np.uint64((value << np.uint64(bits)) | (value >> np.uint64(64 - bits)))


@_inlined
def _mixed(
    v0: np.uint64, v1: np.uint64, v2: np.uint64, v3: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """SipRound."""
    v0 += v1
    v1 = _rotated(v1, 13) ^ v0
    v0 = _rotated(v0, 32)
    v2 += v3
    v3 = _rotated(v3, 16) ^ v2
    v0 += v3
    v3 = _rotated(v3, 21) ^ v0
    v2 += v1
    v1 = _rotated(v1, 17) ^ v2
    return v0, v1, _rotated(v2, 32), v3


@_inlined
def keyed_hash(data: Bytes, start: int, size: int, key: HashKey) -> np.uint64:
    """SipHash-1-3 of data[start : start + size]."""
    v0 = key[0] ^ np.uint64(0x736F6D6570736575)
    v1 = key[1] ^ np.uint64(0x646F72616E646F6D)
    v2 = key[0] ^ np.uint64(0x6C7967656E657261)
    v3 = key[1] ^ np.uint64(0x7465646279746573)
    at, end = start, start + size
    while at + 8 <= end:
        word = word_at(data, at)
        v3 ^= word
        v0, v1, v2, v3 = _mixed(v0, v1, v2, v3)
        v0 ^= word
        at += 8
    last = np.uint64(size) << np.uint64(56)
    if at < end:
        rest = end - at
        if size >= 8:  # the last eight bytes, without those that were taken already
            last |= word_at(data, end - 8) >> np.uint64(8 * (8 - rest))
        else:
            for k in range(rest):
                last |= np.uint64(data[np.uintp(at + k)]) << np.uint64(8 * k)
    v3 ^= last
    v0, v1, v2, v3 = _mixed(v0, v1, v2, v3)
    v0 ^= last
    v2 ^= np.uint64(0xFF)
    for _ in range(3):
        v0, v1, v2, v3 = _mixed(v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3


@_inlined
def hash_of_words(key: HashKey, first: int, second: int, third: int) -> np.uint64:
    """SipHash-1-3 of three whole numbers, as the 24 bytes of three little-endian int64."""
    v0 = key[0] ^ np.uint64(0x736F6D6570736575)
    v1 = key[1] ^ np.uint64(0x646F72616E646F6D)
    v2 = key[0] ^ np.uint64(0x6C7967656E657261)
    v3 = key[1] ^ np.uint64(0x7465646279746573)
    for word in (np.uint64(first), np.uint64(second), np.uint64(third), np.uint64(24 << 56)):
        v3 ^= word
        v0, v1, v2, v3 = _mixed(v0, v1, v2, v3)
        v0 ^= word
    v2 ^= np.uint64(0xFF)
    for _ in range(3):
        v0, v1, v2, v3 = _mixed(v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3


def hashes_of(texts: Spans, key: HashKey) -> UInt64s:
    """SipHash-1-3 of each text. Shape (n,), uint64."""
    out = np.empty(len(texts), np.uint64)
    _hash_all(texts.data, texts.start, texts.size, key, out)
    return out


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _hash_all(data: Bytes, start: Int64s, size: Int64s, key: HashKey, out: UInt64s) -> None:
    for i in range(len(out)):
        out[i] = keyed_hash(data, start[i], size[i], key)
