"""The counters in contact rows: the latest times of contacts, and the contacts of a calendar period.

Both hold more than what a window needs now where a contact can be given back: times one more than
the cap, periods the one before. Where what is known does not reach, they count too many, never too few.
"""

from __future__ import annotations

import numba
import numpy as np

from stream.contacts.contact_table import Cells

MANY = 255
"""So many contacts of a period, or more."""
_BITS_SHIFT, _BITS_MASK = 5, 31
_PERIOD_SHIFT, _BEFORE_SHIFT, _COUNT_MASK = 16, 8, 0xFF

_inline = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@_inline
def cell_at(cells: Cells, row: int, cell: int) -> int:
    """A cell as a signed number, for sums and differences."""
    return int(np.int64(cells[row, cell]))


@_inline
def add_time(cells: Cells, row: int, first: int, size: int, at_s: int) -> None:
    """Puts a time among the latest `size`, which rise; the earliest is forgotten."""
    if at_s <= cell_at(cells, row, first):
        return
    i = first
    while i + 1 < first + size and cells[row, i + 1] < at_s:
        cells[row, i] = cells[row, i + 1]
        i += 1
    cells[row, i] = at_s


@_inline
def remove_time(cells: Cells, row: int, first: int, size: int, at_s: int) -> None:
    """Takes one of the latest times away; what was before the earliest was no later than that."""
    i = first + size - 1
    while i >= first and cells[row, i] != at_s:
        i -= 1
    while i > first:
        cells[row, i] = cells[row, i - 1]
        i -= 1


@_inline
def add_to_period(cells: Cells, row: int, cell: int, period: int) -> None:
    """Counts a contact in a period; what is more than one before the newest is not counted any more."""
    word = cell_at(cells, row, cell)
    newest, before, count = _parts(word)
    if word == 0 or period > newest:
        before = count if word != 0 and period == newest + 1 else 0
        newest, count = period, 1
    elif period == newest:
        count = min(count + 1, MANY)
    elif period == newest - 1:
        before = min(before + 1, MANY)
    cells[row, cell] = newest << _PERIOD_SHIFT | before << _BEFORE_SHIFT | count


@_inline
def remove_from_period(cells: Cells, row: int, cell: int, period: int) -> None:
    """Takes a contact out of the count of a period, where that is exact."""
    newest, before, count = _parts(cell_at(cells, row, cell))
    if period == newest and 0 < count < MANY:
        count -= 1
    elif period == newest - 1 and 0 < before < MANY:
        before -= 1
    cells[row, cell] = newest << _PERIOD_SHIFT | before << _BEFORE_SHIFT | count


@_inline
def add_periods(cells: Cells, row: int, cell: int, other: int) -> None:
    """Adds the contacts of another row, whose cell is `other`; what is too early for both is not counted."""
    word = cell_at(cells, row, cell)
    newest, before, count = _parts(word)
    their_newest, their_before, their_count = _parts(other)
    if other == 0:
        return
    if word == 0 or their_newest > newest:
        before = count if word != 0 and their_newest == newest + 1 else 0
        newest, before, count = their_newest, before + their_before, their_count
    elif their_newest == newest:
        before, count = before + their_before, count + their_count
    elif their_newest == newest - 1:
        before += their_count
    before, count = min(before, MANY), min(count, MANY)
    cells[row, cell] = newest << _PERIOD_SHIFT | before << _BEFORE_SHIFT | count


@_inline
def full_until(cells: Cells, row: int, cell: int, contacts: int, period: int) -> int:
    """The first period from `period` on that has room."""
    word = cell_at(cells, row, cell)
    newest, before, count = _parts(word)
    if word == 0 or period > newest:
        return period
    if (
        period < newest and before < contacts
    ):  # what is earlier than the one before is unknown: full
        return newest - 1
    return newest if count < contacts else newest + 1


@_inline
def is_free_after(cells: Cells, row: int, cell: int, contacts: int, period: int) -> bool:
    """Whether all periods after one that has room have room."""
    newest, _, count = _parts(cell_at(cells, row, cell))
    return bool(period > newest or count < contacts)


@_inline
def _parts(word: int) -> tuple[int, int, int]:
    """The newest period, the contacts of the one before, and its own."""
    before = word >> _BEFORE_SHIFT & _COUNT_MASK
    return word >> _PERIOD_SHIFT, before, word & _COUNT_MASK


@_inline
def has_bit(cells: Cells, row: int, first: int, k: int) -> bool:
    """The bit of strategy k; False when there are none."""
    if first < 0:
        return False
    return bool(cells[row, first + (k >> _BITS_SHIFT)] >> np.uint32(k & _BITS_MASK) & np.uint32(1))


@_inline
def set_bit(cells: Cells, row: int, first: int, k: int) -> None:
    """Sets the bit of strategy k."""
    if first >= 0:
        cells[row, first + (k >> _BITS_SHIFT)] |= np.uint32(1) << np.uint32(k & _BITS_MASK)


@_inline
def clear_bit(cells: Cells, row: int, first: int, k: int) -> None:
    """Clears the bit of strategy k."""
    if first >= 0:
        cells[row, first + (k >> _BITS_SHIFT)] &= ~(np.uint32(1) << np.uint32(k & _BITS_MASK))
