"""Contacts that follow a login: those of an id and of the customer who has logged in become those of one.

Rules of this file
1. Where the two know different things, the stricter holds: all contacts count, the longer wait counts,
   and nothing is given back of which it is not certain where it was counted.
2. The time zone of the id stays with it, too: it is where its next events come from.
"""

from __future__ import annotations

import numba

from stream.contacts.contact_rules import (
    CELL,
    CONTACTS,
    LAST,
    OPEN,
    PAUSE,
    WITHIN_S,
    ContactRules,
)
from stream.contacts.contact_table import Cells
from stream.contacts.counters import add_periods, add_time, cell_at, clear_bit, has_bit, set_bit

_inline = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@_inline
def take_home(cells: Cells, home: int, source: int, target: int) -> bool:
    """Gives a customer without a time zone that of the id; tells whether.

    Args:
        cells: The contact rows. Changed. Shape (rows, cells), uint32.
        home: First of the two cells that hold it.
        source: Row of the id, -1 for none.
        target: Row of the customer.
    """
    if source < 0 or (cells[target, home] | cells[target, home + 1]) != 0:
        return False
    cells[target, home : home + 2] = cells[source, home : home + 2]
    return bool((cells[source, home] | cells[source, home + 1]) != 0)


@_inline
def knows_any(rules: ContactRules, cells: Cells, row: int) -> bool:
    """Whether a row has anything to carry over."""
    found = False
    for k in range(len(rules.strategy)):
        for column in (LAST, OPEN, PAUSE):
            cell = rules.strategy[k, column]
            found = found or (cell >= 0 and cells[row, cell] != 0)
    for limit in range(len(rules.limit)):
        first = rules.limit[limit, CELL]
        for cell in range(first, first + _size(rules, limit)):
            found = found or cells[row, cell] != 0
    return found


@_inline
def add_contacts(rules: ContactRules, cells: Cells, source: int, target: int) -> None:
    """Adds the contacts of one row to another.

    Args:
        rules: The rules.
        cells: The contact rows. Changed. Shape (rows, cells), uint32.
        source: Row of the id.
        target: Row of the customer.
    """
    _add_zone(rules, cells, source, target)
    for k in range(len(rules.strategy)):
        last = rules.strategy[k, LAST]
        if last < 0:
            continue
        _add_bits(rules, cells, source, target, k)
        _add_times(cells, source, target, last - rules.spare, 1 + rules.spare)
        for column in (OPEN, PAUSE):
            cell = rules.strategy[k, column]
            if cell >= 0:
                cells[target, cell] = max(cells[target, cell], cells[source, cell])
    for limit in range(len(rules.limit)):
        cell = rules.limit[limit, CELL]
        if rules.limit[limit, WITHIN_S] > 0:
            _add_times(cells, source, target, cell, _size(rules, limit))
        else:
            add_periods(cells, target, cell, cell_at(cells, source, cell))


@_inline
def empty(rules: ContactRules, cells: Cells, row: int) -> None:
    """Forgets the contacts of an id, which are those of a customer now."""
    for k in range(len(rules.strategy)):
        last = rules.strategy[k, LAST]
        if last < 0:
            continue
        cells[row, last - rules.spare : last + 1] = 0
        clear_bit(cells, row, rules.sent_cell, k)
        clear_bit(cells, row, rules.returned_cell, k)
        for column in (OPEN, PAUSE):
            cell = rules.strategy[k, column]
            if cell >= 0:
                cells[row, cell] = 0
    for limit in range(len(rules.limit)):
        first = rules.limit[limit, CELL]
        cells[row, first : first + _size(rules, limit)] = 0
    if rules.zone_cell >= 0:
        cells[row, rules.zone_cell : rules.zone_cell + 2] = 0


@_inline
def _size(rules: ContactRules, limit: int) -> int:
    is_rolling = rules.limit[limit, WITHIN_S] > 0
    return int(rules.limit[limit, CONTACTS] + rules.spare) if is_rolling else 1


@_inline
def _add_times(cells: Cells, source: int, target: int, first: int, size: int) -> None:
    for cell in range(first, first + size):
        at_s = cell_at(cells, source, cell)
        if at_s > 0:
            add_time(cells, target, first, size, at_s)


@_inline
def _add_bits(rules: ContactRules, cells: Cells, source: int, target: int, k: int) -> None:
    """What is known of the last contact of a strategy is known of the later one, or of both."""
    last = rules.strategy[k, LAST]
    theirs_s, own_s = cell_at(cells, source, last), cell_at(cells, target, last)
    for cell in (rules.sent_cell, rules.returned_cell):
        if theirs_s > own_s:
            clear_bit(cells, target, cell, k)
        if theirs_s >= own_s and has_bit(cells, source, cell, k):
            set_bit(cells, target, cell, k)


@_inline
def _add_zone(rules: ContactRules, cells: Cells, source: int, target: int) -> None:
    """Contacts of another zone than the customer's are known to be: nothing of them is given back."""
    zone = rules.zone_cell
    if zone < 0 or cells[source, zone] == 0:
        return
    until_s = max(cell_at(cells, target, zone + 1), cell_at(cells, source, zone + 1))
    if cells[target, zone] == 0:
        cells[target, zone] = cells[source, zone]
    elif cells[target, zone] != cells[source, zone]:
        for k in range(len(rules.strategy)):
            until_s = max(until_s, cell_at(cells, source, rules.strategy[k, LAST]))
    cells[target, zone + 1] = until_s
