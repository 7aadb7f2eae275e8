"""The contact rows of one partition: next offsets and cells, by the row numbers of the customer table.

Rules of this file
1. The row of a customer has the number that it has in the customer table, which keeps the keys. A
   customer who is erased there is erased here.
2. It knows cells. What a cell means is the business of `contact_layout`.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from stream.columns import Int64s
from stream.contacts.budgets.purse import Purse
from stream.contacts.contact_layout import ContactLayout

Cells: TypeAlias = npt.NDArray[np.uint32]

_ROWS_MIN = 256
_GROWTH = 1.25


class ContactTable:
    """Contact rows, read and written as columns.

    Args:
        layout: Of the rows.

    Attributes:
        layout: Of the rows.
        purse: What their owner may spend on contacts; None where there are no budgets, or nobody decides.
    """

    def __init__(self, layout: ContactLayout) -> None:
        self.layout = layout
        self.purse: Purse | None = None
        self._next_offset = np.zeros((_ROWS_MIN, len(layout.topics)), np.int64)
        self._cells = np.zeros((_ROWS_MIN, layout.cells), np.uint32)
        self._dirty = np.zeros(_ROWS_MIN, np.bool_)

    @property
    def cells(self) -> Cells:
        """The cells of every row. Shape (capacity, layout.cells). Valid until the next `fit`."""
        return self._cells

    @property
    def next_offset(self) -> Int64s:
        """By event topic the word of the offset from which on events have yet to count, 0 for none.

        Shape (capacity, topics). Valid until the next `fit`.
        """
        return self._next_offset

    @property
    def dirty(self) -> npt.NDArray[np.bool_]:
        """Which rows have changed since the last `take_dirty`; kernels set it. Shape (capacity,)."""
        return self._dirty

    @property
    def nbytes(self) -> int:
        """Bytes allocated."""
        return self._next_offset.nbytes + self._cells.nbytes + self._dirty.nbytes

    @property
    def customers(self) -> int:
        """Customers of whom anything was counted."""
        return int(self._next_offset.any(axis=1).sum())

    def fit(self, rows: int) -> None:
        """Makes room for so many rows, those of the customer table; new ones are empty."""
        capacity = len(self._dirty)
        if rows <= capacity:
            return
        capacity = max(rows, int(capacity * _GROWTH))
        # resize() extends in place when it can; nobody holds a view across this.
        self._next_offset.resize((capacity, len(self.layout.topics)), refcheck=False)
        self._cells.resize((capacity, self.layout.cells), refcheck=False)
        self._dirty.resize(capacity, refcheck=False)

    def erase(self, rows: Int64s) -> None:
        """Forgets the contacts of customers."""
        self._next_offset[rows] = 0
        self._cells[rows] = 0
        self._dirty[rows] = False

    def mark_dirty(self, rows: Int64s) -> None:
        """Remembers rows that have changed since the last `take_dirty`."""
        self._dirty[rows] = True

    @property
    def has_dirty(self) -> bool:
        """Whether rows have changed since the last `take_dirty`."""
        return bool(self._dirty.any())

    def take_dirty(self) -> Int64s:
        """Rows changed since the last call, rising; forgets them."""
        rows = np.flatnonzero(self._dirty)
        self._dirty[rows] = False
        return rows
