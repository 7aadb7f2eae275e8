"""The rows that a login links, in the parts in which they are written."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.compiled.linked import linked
from stream.state.linked_rows import together

LINKS = st.lists(
    st.tuples(st.integers(0, 19), st.integers(0, 19)).filter(lambda pair: pair[0] != pair[1]),
    max_size=12,
)


@given(st.sets(st.integers(0, 19)), LINKS, st.integers(1, 8))
def test_every_row_is_written_once_and_what_fits_is_written_together(
    dirty: set[int], links: list[tuple[int, int]], rows_max: int
) -> None:
    rows = np.array(sorted(dirty), np.int64)
    parts = together(rows, links, rows_max)
    assert sorted(np.concatenate([rows[:0], *parts]).tolist()) == sorted(dirty)
    part_of = {row: i for i, part in enumerate(parts) for row in part.tolist()}
    order = [row for part in parts for row in part.tolist()]
    pairs = np.array(links, np.int64).reshape(-1, 2)
    number = linked(pairs[:, 0].copy(), pairs[:, 1].copy())
    for group in set(number.tolist()):
        member = set(pairs[number == group].ravel().tolist()) & dirty
        assert len({part_of[row] for row in member}) <= 1
        if len(member) <= rows_max and member:
            assert len(parts[part_of[min(member)]]) <= rows_max
    last = {source: i for i, (_, source) in enumerate(links)}
    for target, source in links:
        if {target, source} <= dirty and target not in last:
            assert order.index(target) < order.index(source), "nothing is cut before it is moved"


def test_rows_without_a_login_stay_as_they_are() -> None:
    (part,) = together(np.array([4, 7, 9]), [], 1)
    assert part.tolist() == [4, 7, 9]
    alone, first, second = together(np.arange(6), [(1, 2), (4, 3)], 3)
    assert [alone.tolist(), first.tolist(), second.tolist()] == [[0, 5], [1, 2], [4, 3]]
