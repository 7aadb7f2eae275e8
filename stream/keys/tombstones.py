"""Tombstones: records with a key and no value, by which compacted topics say that a key is gone."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from stream.columns import Bools, RecordChunk

_QUOTE = b'"'
_CUSTOMER_BYTES_MAX = 512


def tombstones(chunk: RecordChunk) -> Bools:
    """Which records of a chunk are tombstones. Shape (n,), bool."""
    return (chunk.value.size < 0) & (chunk.key.size > 0)


def customer_of(key: bytes, no_ids: AbstractSet[bytes]) -> bytes:
    """The customer that the key of a tombstone names, also in quotes, as serializers of JSON write it.

    Args:
        key: The key.
        no_ids: Words that are no customer, in lower case and without white space around them.

    Raises:
        ValueError: It names none.
    """
    quoted = len(key) > 1 and key[:1] == key[-1:] == _QUOTE
    customer = key[1:-1] if quoted else key
    try:
        customer.decode()
    except UnicodeDecodeError as exc:
        raise ValueError("a key that is not UTF-8") from exc
    if customer.strip(b" \t\n\r").lower() in no_ids:
        raise ValueError("a key that is no customer id")
    if len(customer) > _CUSTOMER_BYTES_MAX:
        raise ValueError(f"a key of {len(customer)} bytes")
    return customer
