"""SipHash-1-3 against a plain form of it, which is checked by the vector of its authors."""

from __future__ import annotations

import numba
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.columns import Bytes
from stream.compiled.keyed_hash import PROCESS_KEY, HashKey, hash_key, keyed_hash

_MASK = (1 << 64) - 1
SECRET = bytes(range(16))


def siphash(secret: bytes, text: bytes, compressions: int, finalizations: int) -> int:
    """The algorithm as the paper states it."""

    def rotated(value: int, bits: int) -> int:
        return (value << bits | value >> (64 - bits)) & _MASK

    def rounds(count: int) -> None:
        for _ in range(count):
            v[0] = (v[0] + v[1]) & _MASK
            v[2] = (v[2] + v[3]) & _MASK
            v[1], v[3] = rotated(v[1], 13) ^ v[0], rotated(v[3], 16) ^ v[2]
            v[0] = rotated(v[0], 32)
            v[2] = (v[2] + v[1]) & _MASK
            v[0] = (v[0] + v[3]) & _MASK
            v[1], v[3] = rotated(v[1], 17) ^ v[2], rotated(v[3], 21) ^ v[0]
            v[2] = rotated(v[2], 32)

    k = [int.from_bytes(secret[:8], "little"), int.from_bytes(secret[8:], "little")]
    begin = b"somepseudorandomlygeneratedbytes"
    v = [int.from_bytes(begin[8 * i : 8 * i + 8], "big") ^ k[i % 2] for i in range(4)]
    padded = text + bytes(7 - len(text) % 8) + bytes([len(text) % 256])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v[3] ^= word
        rounds(compressions)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(finalizations)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


@numba.njit()
def _hash(data: Bytes, start: int, size: int, key: HashKey) -> np.uint64:
    return keyed_hash(data, start, size, key)


def hashed(secret: bytes, text: bytes, before: bytes = b"", after: bytes = b"") -> int:
    data = np.frombuffer(before + text + after or b"\0", np.uint8)
    return int(_hash(data, len(before), len(text), hash_key(secret)))


def test_the_plain_form_gives_the_vector_of_the_paper() -> None:
    assert siphash(SECRET, bytes(range(15)), 2, 4) == 0xA129CA6149BE45E5


def test_every_length_up_to_three_words() -> None:
    for size in range(25):
        text = bytes(range(200, 200 + size))
        assert hashed(SECRET, text) == siphash(SECRET, text, 1, 3)


@given(
    secret=st.binary(min_size=16, max_size=16),
    text=st.binary(max_size=600),
    around=st.tuples(st.binary(max_size=9), st.binary(max_size=9)),
)
def test_the_hash_is_siphash_1_3_of_the_text_alone(
    secret: bytes, text: bytes, around: tuple[bytes, bytes]
) -> None:
    assert hashed(secret, text, *around) == siphash(secret, text, 1, 3)


def test_the_key_of_a_process_is_drawn() -> None:
    """Zero would be a key that everybody knows; that it is another each time, see the table."""
    assert all(PROCESS_KEY)
