"""Whose history an event belongs to in the end, when logins carry rows over and tombstones forget them.

A row lives from its first event until something empties it, and then anew. A life that a login ends goes
on in the life that the row of the customer has then; one that a tombstone ends is over, with all that was
carried over to it.
"""

from __future__ import annotations

import numba
import numpy as np

from stream.columns import Bools, Int64s

FORGOTTEN = 0
"""The life of who is forgotten."""

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


def lives(row: Int64s, emptied: Int64s) -> Int64s:
    """The life that each event belongs to in the end.

    Args:
        row: Row of the customer of each event, in the order of the replay. Shape (n,), int64.
        emptied: Row that it empties, its own when the customer is forgotten, -1 for none. Shape (n,).

    Returns:
        `FORGOTTEN`, or a number above it that those of one life have in common. Shape (n,), int64.
    """
    rows = int(max(row.max(initial=-1), emptied.max(initial=-1))) + 1
    out = np.empty(len(row), np.int64)
    into = np.arange(1 + rows + int((emptied >= 0).sum()))
    _live(row, emptied, np.arange(1, rows + 1), into, out)
    return out


def epochs(row: Int64s, forgets: Bools) -> Int64s:
    """A number for each event that changes whenever its customer is forgotten: what a ring of ids is of.

    Args:
        row: As for `lives`.
        forgets: Whether an event forgets its customer. Shape (n,), bool.
    """
    if not forgets.any():
        return row
    by_row = np.lexsort((np.arange(len(row)), row))
    seen = np.cumsum(forgets[by_row])
    changes = np.empty(len(row), np.bool_)
    changes[:1] = True
    changes[1:] = (np.diff(row[by_row]) != 0) | (np.diff(seen) != 0)
    out = np.empty(len(row), np.int64)
    out[by_row] = np.cumsum(changes) - 1
    return out


@_jit
def _live(row: Int64s, emptied: Int64s, now: Int64s, into: Int64s, out: Int64s) -> None:
    """Fills `out`; `now` is the life of each row, `into` in which one each goes on, `into[i] = i` at first."""
    born = len(now) + 1
    for i in range(len(row)):
        if emptied[i] >= 0:
            into[now[emptied[i]]] = FORGOTTEN if emptied[i] == row[i] else now[row[i]]
            now[emptied[i]] = born
            born += 1
        out[i] = now[row[i]]
    for i in range(len(out)):
        life = out[i]
        while into[life] != life:
            into[life] = into[into[life]]
            life = into[life]
        out[i] = life
