"""Which rows the events of a chunk empty: of ids whose customer has logged in, of who is forgotten."""

from __future__ import annotations

import numpy as np

from stream.columns import EventBatch, Int64s
from stream.state.table import CustomerTable


def carried_rows(batch: EventBatch, rows: Int64s, table: CustomerTable) -> Int64s:
    """The row of the id that each login carries over to its customer, -1 for none.

    Args:
        batch: n events.
        rows: Row of the customer of each. Shape (n,), int64.
        table: Of the customers, after `emptied_rows`.

    Returns:
        Shape (n,), or (0,) when none is a login, int64.
    """
    if batch.previous is None:
        return np.empty(0, np.int64)
    carried = np.full(len(rows), -1)
    told = np.flatnonzero(batch.previous.size >= 0)
    carried[told] = table.rows_for(batch.previous.take(told))
    carried[carried == rows] = -1
    return carried


def emptied_rows(batch: EventBatch, rows: Int64s, table: CustomerTable) -> Int64s:
    """The row that each event empties, -1 for none; no events when none does.

    An id that was not seen yet gets a row, which tells that the login is behind it.

    Args:
        batch: n events.
        rows: Row of the customer of each. Shape (n,), int64.
        table: Of the customers. Changed.

    Returns:
        Shape (n,) or (0,), int64.
    """
    if batch.previous is None and batch.forgets is None:
        return np.empty(0, np.int64)
    emptied = np.full(len(rows), -1)
    if batch.previous is not None:
        told = np.flatnonzero(batch.previous.size >= 0)
        emptied[told] = table.rows_for(batch.previous.take(told))
    if batch.forgets is not None:
        emptied[batch.forgets] = rows[batch.forgets]
    return emptied
