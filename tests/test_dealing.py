"""No test is lost or run twice when they are dealt out, and what waits is spread."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tests.dealing import dealt


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 6))
def test_each_test_is_dealt_once(waiting: list[bool], processes: int) -> None:
    tests = list(range(len(waiting)))
    assert sorted(dealt(tests, waiting.__getitem__, processes)) == tests


def test_what_waits_is_begun_with_by_all_processes_but_one() -> None:
    waiting = {3, 8, 11, 20}
    tests = dealt(range(30), waiting.__contains__, 3)
    runs = [tests[:10], tests[10:20], tests[20:]]
    assert runs[0] == [0, 1, 2, 4, 5, 6, 7, 9, 10, 12]
    assert [run[:3] for run in runs[1:]] == [[3, 11, 13], [8, 20, 22]]
    assert Counter(map(len, runs)) == {10: 3}
