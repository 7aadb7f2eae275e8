"""Groups of linked customers, against sets that are united one after the other."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.compiled.linked import linked

PAIRS = st.lists(st.tuples(st.integers(0, 12), st.integers(-1, 12)), max_size=30)


@given(PAIRS)
def test_customers_have_one_number_if_logins_link_them(pairs: list[tuple[int, int]]) -> None:
    row, emptied = np.array(pairs, np.int64).reshape(-1, 2).T
    groups = [{one} for one in range(13)]
    for first, second in pairs:
        if second >= 0:
            whole = groups[first] | groups[second]
            for one in whole:
                groups[one] = whole
    got = linked(np.ascontiguousarray(row), np.ascontiguousarray(emptied)).tolist()
    expected = [min(groups[one]) for one, _ in pairs]
    assert got == expected


def test_without_logins_everybody_is_alone() -> None:
    row = np.array([3, 1, 3])
    assert linked(row, np.empty(0, np.int64)) is row
    assert linked(row, np.array([3, -1, -1])) is row
