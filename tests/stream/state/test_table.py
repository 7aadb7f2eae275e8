"""The customer table against a dict."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream.columns import Spans
from stream.compiled.category_hash import category_hash
from stream.compiled.keyed_hash import hash_key
from stream.state.table import CustomerTable


@given(st.lists(st.lists(st.binary(max_size=12), max_size=40), max_size=12))
@settings(deadline=None)
def test_rows_are_those_of_a_dict(chunks: list[list[bytes]]) -> None:
    table, oracle = CustomerTable(3), dict[bytes, int]()
    for chunk in chunks:
        expected = [oracle.setdefault(key, len(oracle)) for key in chunk]
        assert table.rows_for(Spans.of(chunk)).tolist() == expected
    assert table.rows == len(oracle)
    assert list(table.keys()) == list(oracle)
    assert all(table.find(key) == row for key, row in oracle.items())
    assert table.find(b"a key that is longer than any") == -1


def test_growth_keeps_state_and_keys_and_stays_within_its_bound() -> None:
    table = CustomerTable(37)
    keys = [b"c%08d" % i for i in range(20_000)]
    for low in range(0, len(keys), 1_000):
        rows = table.rows_for(Spans.of(keys[low : low + 1_000]))
        table.state[rows] = rows[:, None] + np.arange(37)
    rows = table.rows_for(Spans.of(keys))
    assert rows.tolist() == list(range(20_000))
    assert np.array_equal(table.state, rows[:, None] + np.arange(37.0))
    assert table.nbytes / table.rows <= 1.3 * 37 * 8 + 100


def test_new_rows_are_zero() -> None:
    table = CustomerTable(2)
    first = table.rows_for(Spans.of([b"a"]))
    table.state[first] = 7.0
    second = table.rows_for(Spans.of([b"b"]))
    assert table.state[second].tolist() == [[0.0, 0.0]]


def test_dirty_rows_are_taken_once() -> None:
    table = CustomerTable(1)
    rows = table.rows_for(Spans.of([b"a", b"b", b"c"]))
    table.mark_dirty(rows[[2, 0, 2]])
    assert table.take_dirty().tolist() == [0, 2]
    assert table.take_dirty().tolist() == []


def test_key_spans_are_the_keys() -> None:
    table = CustomerTable(1)
    table.rows_for(Spans.of([b"ann", b"", b"bob"]))
    found = table.key_spans(np.array([2, 0, 1]))
    assert [found[i] for i in range(3)] == [b"bob", b"ann", b""]


_IDS = st.text(min_size=1, max_size=3, alphabet="ab\x00é")


@given(st.lists(st.tuples(st.booleans(), _IDS), max_size=60), st.integers(0, 600))
@example([(False, "b\x00"), (False, "b"), (False, "\x00"), (True, "b\x00")], 0)
@settings(deadline=None)
def test_who_is_erased_is_gone_until_they_come_back(
    steps: list[tuple[bool, str]], others: int
) -> None:
    table, oracle = CustomerTable(2), dict[bytes, float]()
    for number, (erase, name) in enumerate(steps, 1):
        key = name.encode()
        if erase:
            row = table.find(key)
            assert (row >= 0) == (key in oracle)
            if oracle.pop(key, None) is not None:
                table.mark_dirty(np.array([row]))
                table.erase(np.array([row]))
                assert not table.has_dirty
                kept = b"\xff".join(map(table.key, range(table.rows)))  # no byte of UTF-8 between
                assert any(key in other for other in oracle) or key not in kept
        else:
            (row,) = table.rows_for(Spans.of([key])).tolist()
            assert table.state[row].tolist() == [oracle.get(key, 0.0)] * 2
            table.state[row] = oracle[key] = number
    table.rows_for(Spans.of([b"c%d" % i for i in range(others)]))  # the index is built anew
    oracle |= {b"c%d" % i: 0.0 for i in range(others)}
    assert {table.key(row): table.state[row, 0] for row in table.live.tolist()} == oracle
    assert (len(table), set(table.keys())) == (len(oracle), set(oracle))
    assert all(table.key(table.find(key)) == key for key in oracle)


def steps(table: CustomerTable) -> int:
    """The most slots that a look-up of a key in the table passes."""
    slots, hashes = table._slots, table._hash
    slot = np.flatnonzero(slots)
    upper = hashes[slots[slot] - 1] >> np.uint64(32)
    home = ((upper * np.uint64(len(slots))) >> np.uint64(32)).astype(np.int64)
    return int(((slot - home) % len(slots)).max())


def aimed_at_one_place(count: int) -> list[bytes]:
    """Ids whose upper hash bits are alike under FNV-1a with a finalizer, which anybody can compute."""
    mask = (1 << 64) - 1
    found = []
    for number in range(1 << 30):
        text = b"u%d" % number
        value = category_hash(text)
        value = (value ^ value >> 33) * 0xFF51AFD7ED558CCD & mask
        if value >> 57 == 0:
            found.append(text)
            if len(found) == count:
                break
    return found


def test_ids_that_meet_under_a_hash_without_a_key_do_not_meet_in_the_table() -> None:
    ids = aimed_at_one_place(2_000)
    table = CustomerTable(1)
    table.rows_for(Spans.of(ids))
    assert steps(table) < 150  # 2,000 ids one behind the other would be passed by the last


def test_no_two_keys_bring_the_same_ids_together() -> None:
    """What collides under one key is spread by another."""
    one, other = (hash_key(bytes([i]) * 16) for i in (1, 2))
    many = [b"customer-%06d" % i for i in range(100_000)]
    table = CustomerTable(1, one)
    table.rows_for(Spans.of(many))
    aimed = np.flatnonzero(table._hash[: len(many)] >> np.uint64(58) == 0)
    for key, meet in ((one, True), (other, False)):
        small = CustomerTable(1, key)
        small.rows_for(Spans.of([many[i] for i in aimed.tolist()]))
        assert (steps(small) > 500) == meet


@given(
    keys=st.lists(st.binary(max_size=20), max_size=60),
    secrets=st.tuples(*[st.binary(min_size=16, max_size=16)] * 2),
)
@settings(deadline=None)
def test_nothing_that_comes_out_depends_on_the_key(
    keys: list[bytes], secrets: tuple[bytes, bytes]
) -> None:
    one, other = (CustomerTable(2, hash_key(secret)) for secret in secrets)
    assert one.rows_for(Spans.of(keys)).tolist() == other.rows_for(Spans.of(keys)).tolist()
    assert list(one.keys()) == list(other.keys())
    assert [one.find(key) for key in keys] == [other.find(key) for key in keys]


def test_every_process_has_a_key_of_its_own() -> None:
    code = "from stream.compiled.keyed_hash import PROCESS_KEY; print(PROCESS_KEY)"
    told = {
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
        for _ in range(2)
    }
    assert len(told) == 2
