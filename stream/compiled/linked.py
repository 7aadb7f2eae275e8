"""Customers that touch each other, since a login carries one over to another: as one number each."""

from __future__ import annotations

import numba
import numpy as np

from stream.columns import Int64s

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


def linked(row: Int64s, emptied: Int64s) -> Int64s:
    """A number for each event, the same for all customers whom logins link.

    Args:
        row: Customer of each event. Shape (n,), int64.
        emptied: Customer that it empties, its own included, -1 for none. Shape (n,) or (0,), int64.

    Returns:
        Shape (n,), int64; `row` itself without logins.
    """
    links = np.flatnonzero((emptied >= 0) & (emptied != row)) if len(emptied) else emptied
    if len(links) == 0:
        return row
    parent = np.arange(max(int(row.max()), int(emptied.max())) + 1)
    _link(parent, row[links], emptied[links])
    return parent[row]


@_jit
def _link(parent: Int64s, first: Int64s, second: Int64s) -> None:
    """Unites pairs; afterwards `parent` says the smallest member of the group of each."""
    for i in range(len(first)):
        a, b = _root(parent, first[i]), _root(parent, second[i])
        parent[max(a, b)] = min(a, b)
    for one in range(len(parent)):
        parent[one] = parent[parent[one]]  # that of a smaller one is a root already


@_jit
def _root(parent: Int64s, one: int) -> int:
    while parent[one] != one:
        parent[one] = parent[parent[one]]
        one = parent[one]
    return one
