"""Whether a contact is against the rules, and counting one: what the loop over decisions calls.

`find_room` for the customer, `against` for every strategy that is still allowed, `count` for the one
that is chosen: so the next event of the
same customer, in the same chunk, sees it. A row belongs to one customer; nothing is allocated.

Rules of this file
1. A window holds the contacts that are later than its length before the contact in question, those
   that are planned for later among them: so no window of that length ever holds too many, in
   whatever order decisions come.
2. Contacts are remembered by the second after them, and asked about by the second before: what is
   rounded is rounded towards fewer contacts.
3. `retry_at` is the first second at which all rules of this file let the contact pass.
"""

from __future__ import annotations

import numba

from stream.columns import Int64s
from stream.compiled.zone_set import NEVER_S, Zones, local_and_change
from stream.contacts.contact_rules import (
    APART_S,
    CELL,
    CONTACTS,
    COOL_DOWN_S,
    LAST,
    OBEYS,
    OPEN,
    OTHER,
    PAUSE,
    UNIT,
    WITHIN_S,
    ZONED,
    ContactRules,
)
from stream.contacts.contact_table import Cells
from stream.contacts.counters import (
    add_time,
    add_to_period,
    cell_at,
    clear_bit,
    full_until,
    is_free_after,
    remove_from_period,
    remove_time,
)
from stream.contacts.local_time import first_in, period_of

FREE, IS_OPEN, COOLING_DOWN, PAUSED, EXCLUDED, CAPPED = range(6)
"""What `against` says, the first that applies: nothing; its last decision is open; too soon after its
last contact; too soon after a conversion or complaint; too soon after a contact that excludes it; a
window is full."""

LATEST_S = 2**32 - 1

_inline = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@_inline
def seconds_after(time_ms: int) -> int:
    """The first second that is not before a time, as cells hold it; a contact is never at 0."""
    return max(1, min(-(-time_ms // 1000), LATEST_S))


@_inline
def find_room(
    rules: ContactRules, zones: Zones, cells: Cells, row: int, at_ms: int, zone: int, room_s: Int64s
) -> None:
    """When each limit has room, asked once for all strategies; arguments as for `against`.

    Args:
        room_s: Receives the first full second from `at_ms` on at which each limit has room, and the
            first from which on it has room for ever, `NEVER_S` when that is not certain.
            Shape (2, limits), int64.
    """
    for limit in range(len(rules.limit)):
        room_s[0, limit], room_s[1, limit] = _room(
            rules, zones, cells, row, limit, zone, at_ms // 1000
        )


@_inline
def against(
    rules: ContactRules, zones: Zones, cells: Cells, row: int, k: int, at_ms: int, zone: int,
    room_s: Int64s,
) -> tuple[int, int]:  # fmt: skip
    """Which rule stands against a contact, and until when.

    Args:
        rules: The rules.
        zones: The time zones.
        cells: The contact rows. Shape (rows, cells), uint32.
        row: The customer's.
        k: The strategy.
        at_ms: When the contact would be, epoch milliseconds: now, or the `not_before` of what is held.
        zone: The customer's time zone.
        room_s: What `find_room` found for this row and time.

    Returns:
        A code of those above, and the first second at which the contact could be if nothing else
        happens, epoch milliseconds, 0 when it can be at `at_ms`.
    """
    if rules.strategy[k, OBEYS] == 0 or rules.strategy[k, LAST] < 0:
        return FREE, 0
    at_s = at_ms // 1000
    code, free_s = _own(rules, cells, row, k, at_s)
    for p in range(rules.apart_start[k], rules.apart_start[k + 1]):
        last_s = cell_at(cells, row, rules.strategy[rules.apart[p, OTHER], LAST])
        until_s = last_s + rules.apart[p, APART_S]
        if last_s > 0 and until_s > at_s:
            code = EXCLUDED if code == FREE else code
            free_s = max(free_s, until_s)
    for o in range(rules.obeyed_start[k], rules.obeyed_start[k + 1]):
        until_s = room_s[0, rules.obeyed[o]]
        if until_s > at_s:
            code = CAPPED if code == FREE else code
            free_s = max(free_s, until_s)
    if free_s <= at_s:
        return FREE, 0
    return code, 1000 * _past_full(rules, zones, cells, row, k, zone, free_s, room_s[1])


@_inline
def _own(rules: ContactRules, cells: Cells, row: int, k: int, at_s: int) -> tuple[int, int]:
    """The rules about the strategy's own last contact, as (code, first second that is free)."""
    code, free_s = FREE, at_s
    last_s = cell_at(cells, row, rules.strategy[k, LAST])
    if rules.strategy[k, OPEN] >= 0:
        until_s = cell_at(cells, row, rules.strategy[k, OPEN])
        if until_s > at_s:
            code, free_s = IS_OPEN, until_s
    until_s = last_s + rules.strategy[k, COOL_DOWN_S]
    if rules.strategy[k, COOL_DOWN_S] > 0 and last_s > 0 and until_s > at_s:
        code = COOLING_DOWN if code == FREE else code
        free_s = max(free_s, until_s)
    if rules.strategy[k, PAUSE] >= 0:
        until_s = cell_at(cells, row, rules.strategy[k, PAUSE])
        if until_s > at_s:
            code = PAUSED if code == FREE else code
            free_s = max(free_s, until_s)
    return code, free_s


@_inline
def _room(
    rules: ContactRules, zones: Zones, cells: Cells, row: int, limit: int, zone: int, at_s: int
) -> tuple[int, int]:
    """The first second from `at_s` on at which a limit has room, and from which on for ever."""
    cell = rules.limit[limit, CELL]
    if rules.limit[limit, WITHIN_S] > 0:
        # Of the latest times the one that is as many back as the cap: with it there are too many.
        first_s = cell_at(cells, row, cell + rules.spare)
        room_s = max(at_s, first_s + rules.limit[limit, WITHIN_S]) if first_s > 0 else at_s
        return room_s, room_s
    if cells[row, cell] == 0:
        return at_s, at_s
    unit, of = rules.limit[limit, UNIT], zone if rules.limit[limit, ZONED] != 0 else 0
    contacts = rules.limit[limit, CONTACTS]
    while True:
        local_s, _ = local_and_change(zones, of, at_s)
        period = period_of(unit, local_s)
        with_room = full_until(cells, row, cell, contacts, period)
        if with_room <= period:
            return at_s, at_s if is_free_after(cells, row, cell, contacts, period) else NEVER_S
        at_s = first_in(zones, of, unit, with_room, at_s)


@_inline
def _past_full(
    rules: ContactRules, zones: Zones, cells: Cells, row: int, k: int, zone: int, free_s: int,
    steady_s: Int64s,
) -> int:  # fmt: skip
    """Goes on to a second at which no calendar window is full either, the later ones among them."""
    moved = True
    while moved:
        moved = False
        for o in range(rules.obeyed_start[k], rules.obeyed_start[k + 1]):
            limit = rules.obeyed[o]
            if rules.limit[limit, WITHIN_S] == 0 and free_s < steady_s[limit]:
                until_s, _ = _room(rules, zones, cells, row, limit, zone, free_s)
                moved = moved or until_s > free_s
                free_s = until_s
    return free_s


@_inline
def count(
    rules: ContactRules, zones: Zones, cells: Cells, row: int, k: int, at_ms: int, expires_ms: int,
    zone: int,
) -> None:  # fmt: skip
    """Counts a contact; arguments as for `against`, and when its decision expires, 0 for at once.

    Not for decisions that have expired when they are made: they contact nobody.
    """
    last = rules.strategy[k, LAST]
    if last < 0:  # no rule looks at contacts
        return
    at_s = seconds_after(at_ms)
    _note_zone(rules, zones, cells, row, zone)
    if at_s > cell_at(cells, row, last):
        clear_bit(cells, row, rules.sent_cell, k)
        clear_bit(cells, row, rules.returned_cell, k)
    add_time(cells, row, last - rules.spare, 1 + rules.spare, at_s)
    if rules.strategy[k, OPEN] >= 0 and expires_ms > 0:
        open_cell = rules.strategy[k, OPEN]
        cells[row, open_cell] = max(cell_at(cells, row, open_cell), seconds_after(expires_ms))
    for c in range(rules.counted_start[k], rules.counted_start[k + 1]):
        _count_in(rules, zones, cells, row, rules.counted[c], at_ms, zone)


@_inline
def count_everywhere(
    rules: ContactRules, zones: Zones, cells: Cells, row: int, at_ms: int, zone: int
) -> None:
    """Counts a contact in all limits: nobody knows any more in which of them it belongs."""
    _note_zone(rules, zones, cells, row, zone)
    for limit in range(len(rules.limit)):
        _count_in(rules, zones, cells, row, limit, at_ms, zone)


@_inline
def _count_in(
    rules: ContactRules, zones: Zones, cells: Cells, row: int, limit: int, at_ms: int, zone: int
) -> None:
    cell = rules.limit[limit, CELL]
    if rules.limit[limit, WITHIN_S] > 0:
        size = rules.limit[limit, CONTACTS] + rules.spare
        add_time(cells, row, cell, size, seconds_after(at_ms))
        return
    of = zone if rules.limit[limit, ZONED] != 0 else 0
    local_s, _ = local_and_change(zones, of, max(at_ms // 1000, 1))
    add_to_period(cells, row, cell, period_of(rules.limit[limit, UNIT], local_s))


@_inline
def uncount(
    rules: ContactRules, zones: Zones, cells: Cells, row: int, k: int, at_s: int, zone: int
) -> None:
    """Gives back the last contact of a strategy, at a second as cells hold it.

    A calendar window gets it back only where it is certain in which period it was counted.
    """
    remove_time(cells, row, rules.strategy[k, LAST] - rules.spare, 1 + rules.spare, at_s)
    if rules.strategy[k, OPEN] >= 0:
        cells[row, rules.strategy[k, OPEN]] = 0
    for c in range(rules.counted_start[k], rules.counted_start[k + 1]):
        limit = rules.counted[c]
        cell, unit = rules.limit[limit, CELL], rules.limit[limit, UNIT]
        if rules.limit[limit, WITHIN_S] > 0:
            remove_time(cells, row, cell, rules.limit[limit, CONTACTS] + rules.spare, at_s)
            continue
        of = 0
        if rules.limit[limit, ZONED] != 0:
            of = zone
            if not _knows_zone(rules, zones, cells, row, zone, at_s):
                continue
        local_s, _ = local_and_change(zones, of, at_s)
        before_s, _ = local_and_change(zones, of, at_s - 1)
        period = period_of(unit, local_s)
        if period == period_of(unit, before_s):  # it was at one of these seconds
            remove_from_period(cells, row, cell, period)


@_inline
def _note_zone(rules: ContactRules, zones: Zones, cells: Cells, row: int, zone: int) -> None:
    """Remembers in which zone contacts are counted, and the newest of those counted in another."""
    if rules.zone_cell < 0 or cells[row, rules.zone_cell] == zones.ids[zone]:
        return
    newest_s = cell_at(cells, row, rules.zone_cell + 1)
    for k in range(len(rules.strategy)):
        newest_s = max(newest_s, cell_at(cells, row, rules.strategy[k, LAST]))
    cells[row, rules.zone_cell] = zones.ids[zone]
    cells[row, rules.zone_cell + 1] = newest_s


@_inline
def _knows_zone(
    rules: ContactRules, zones: Zones, cells: Cells, row: int, zone: int, at_s: int
) -> bool:
    """Whether a contact was counted in the zone that the customer has now."""
    if rules.zone_cell < 0:
        return False
    is_same = cells[row, rules.zone_cell] == zones.ids[zone]
    return bool(is_same and at_s > cell_at(cells, row, rules.zone_cell + 1))
