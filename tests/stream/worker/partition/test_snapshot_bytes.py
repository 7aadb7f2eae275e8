"""Forged snapshots: a right checksum over wrong contents gives `Unusable` or a table, nothing else."""

from __future__ import annotations

import random
import tracemalloc
from typing import Any

import crc32c
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.columns import Spans
from stream.state.table import CustomerTable
from stream.worker.partition.snapshot_bytes import (
    VERSION,
    Header,
    Unusable,
    decode,
    encode,
    table_of,
)

WORDS = 3
HEADER: dict[str, Any] = {
    "version": VERSION, "changelog": "c", "partition": 0, "offset": 7, "marker": "", "covered": {"t": 5},
    "order": [["t", 9]], "rows": 3, "words": WORDS, "saved_s": 1.5,
}  # fmt: skip
KEYS = (b"ann", "böb".encode(), b"c")


def table(*keys: bytes) -> CustomerTable:
    made = CustomerTable(WORDS)
    made.rows_for(Spans.of(list(keys)))
    made.state[:] = np.arange(len(keys) * WORDS).reshape(-1, WORDS)
    return made


def signed(content: bytes) -> bytes:
    return content + crc32c.crc32c(content).to_bytes(4, "little")


def forged(
    head: bytes | None = None,
    sizes: tuple[int, ...] | None = None,
    keys: bytes | None = None,
    **fields: Any,
) -> bytes:
    """A file with a right checksum, wrong in what is given."""
    size = np.array([len(key) for key in KEYS] if sizes is None else sizes, np.int64)
    head = msgspec.json.encode(HEADER | fields) if head is None else head
    state = np.zeros((len(size), WORDS))
    keys = b"".join(KEYS) if keys is None else keys
    return signed(head + b"\n" + state.tobytes() + size.tobytes() + keys)


def read(data: bytes) -> CustomerTable:
    return table_of(*decode(data))


@given(st.lists(st.text(min_size=1, max_size=100), unique=True, max_size=30))
def test_what_was_written_is_read(ids: list[str]) -> None:
    saved = table(*(text.encode() for text in ids))
    header = msgspec.convert(HEADER | {"rows": len(ids)}, Header)
    got, body = decode(b"".join(encode(header, saved)))
    assert got == header
    found = table_of(got, body)
    assert list(found.keys()) == list(saved.keys())
    assert found.state.tobytes() == saved.state.tobytes()


def test_who_was_erased_is_not_in_it() -> None:
    saved = table(*KEYS)
    saved.erase(np.array([1]))
    header = msgspec.convert(HEADER | {"rows": 2}, Header)
    written = b"".join(encode(header, saved))
    assert KEYS[1] not in written
    found = read(written)
    assert list(found.keys()) == [KEYS[0], KEYS[2]]
    assert found.state.tobytes() == saved.state[[0, 2]].tobytes()


def test_what_is_forged_below_is_wrong_in_that_alone() -> None:
    assert list(read(forged()).keys()) == list(KEYS)


FORGED: dict[str, tuple[bytes, str]] = {
    "no bytes": (b"", "checksum|header"),
    "no header": (signed(b"no line"), "header of at most"),
    "a line beyond the checksum": (signed(b"{}")[:-1] + b"\n", "checksum"),
    "header no JSON": (forged(head=b"\xff"), "header: "),
    "header of another kind": (forged(head=b"[]"), "header: "),
    "deep header": (forged(head=b'{"x":' + b"[" * 100_000), "header: "),
    "unknown field": (forged(more=1), "header: .*unknown"),
    "rows missing": (forged(head=b'{"version":1}'), "header: .*missing"),
    "rows negative": (forged(rows=-1), "header: .*rows"),
    "rows beyond 2**31": (forged(rows=1 << 31), "header: .*rows"),
    "rows beyond 2**64": (forged(rows=1 << 70), "header: .*rows"),
    "rows huge": (forged(rows=(1 << 31) - 1), "bytes at least for 2147483647 rows"),
    "one row more": (forged(rows=4), "bytes at least for 4 rows"),
    "one row less": (forged(rows=2), "keys|bytes"),
    "rows bool": (forged(rows=True), "header: .*bool"),
    "rows a float": (forged(rows=3.5), "header: .*float"),
    "words zero": (forged(head=msgspec.json.encode(HEADER | {"words": 0})), "header: .*words"),
    "words huge": (forged(head=msgspec.json.encode(HEADER | {"words": 1 << 30})), "at least"),
    "words other": (forged(head=msgspec.json.encode(HEADER | {"words": 4})), "bytes at least"),
    "offset negative": (forged(offset=-1), "header: .*offset"),
    "offset bool": (forged(offset=True), "header: .*offset"),
    "covered negative": (forged(covered={"t": -1}), "header: .*covered"),
    "covered beyond": (forged(covered={"t": 1 << 63}), "header: .*covered"),
    "order negative": (forged(order=[["t", -3]]), "header: .*order"),
    "order of one": (forged(order=[["t"]]), "header: .*order"),
    "time not a number": (forged(head=msgspec.json.encode(HEADER)[:-4] + b"NaN}"), "header: "),
    "time infinite": (forged(head=msgspec.json.encode(HEADER)[:-4] + b"1e999}"), "header: "),
    "size negative": (forged(sizes=(3, -4, 1)), "keys of 1 to 512 bytes, got -4"),
    "size zero": (forged(sizes=(3, 0, 5)), "keys of 1 to 512 bytes, got 0"),
    "size huge": (forged(sizes=(3, 1 << 62, 1)), "keys of 1 to 512 bytes"),
    "sizes that wrap": (forged(sizes=(-(1 << 63), -(1 << 63), 8)), "keys of 1 to 512 bytes"),
    "size beyond the file": (forged(sizes=(3, 400, 1)), "expected 404 bytes of keys, got 8"),
    "trailing bytes": (forged(keys=b"".join(KEYS) + b"x"), "expected 8 bytes of keys, got 9"),
    "keys cut": (forged(keys=b"ann"), "expected 8 bytes of keys, got 3"),
    "a key twice": (forged(sizes=(1, 1, 1), keys=b"aba"), "expected 3 different keys, got 2"),
    "a key no text": (forged(keys=b"ann\xff\xfe\xfdxc"), "keys in UTF-8"),
    "a key that ends inside": (forged(keys=b"annbob\xc3"[:7] + b"\xc3"), "keys in UTF-8"),
    "a key that begins inside": (forged(sizes=(3, 2, 3)), "begins inside a character"),
}


@pytest.mark.parametrize("kind", FORGED)
def test_what_is_forged_is_not_used(kind: str) -> None:
    data, reason = FORGED[kind]
    with pytest.raises(Unusable, match=reason):
        read(data)


def test_random_damage_with_a_right_checksum_is_a_table_or_unusable() -> None:
    source = random.Random(11)
    whole = forged()[:-4]
    line = whole.index(b"\n")
    used = 0
    tracemalloc.start()
    for _ in range(3_000):
        data = bytearray(whole)
        for _ in range(source.randint(1, 3)):
            at = source.choice((source.randrange(line), source.randrange(len(data))))
            cut = source.choice((0, 0, 1, 8))
            data[at : at + cut + 1] = source.randbytes(source.choice((0, 1, 1, 8)))
        try:
            found = read(signed(bytes(data)))
        except Unusable:
            continue
        used += 1
        assert len({*found.keys()}) == found.rows
        assert all(key.decode() for key in found.keys())  # noqa: SIM118
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used  # or the forgeries are all too crude
    assert peak < 4 << 20
