"""The customer table against a dict."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.columns import Spans
from stream.table import CustomerTable


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
                assert key not in table._keys.tobytes() or any(key in other for other in oracle)
        else:
            (row,) = table.rows_for(Spans.of([key])).tolist()
            assert table.state[row].tolist() == [oracle.get(key, 0.0)] * 2
            table.state[row] = oracle[key] = number
    table.rows_for(Spans.of([b"c%d" % i for i in range(others)]))  # the index is built anew
    oracle |= {b"c%d" % i: 0.0 for i in range(others)}
    assert {table.key(row): table.state[row, 0] for row in table.live.tolist()} == oracle
    assert (len(table), set(table.keys())) == (len(oracle), set(oracle))
    assert all(table.key(table.find(key)) == key for key in oracle)
