"""Local days, weeks, months and hours in many time zones, in epoch seconds, for numba loops.

Rules of this file
1. What is asked for is the first second at which something holds, found by going from change to change
   of the zone: an hour that is left out, or there twice, and a midnight that does not exist, are
   not special cases.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np

from stream.columns import Int64s
from stream.compiled.borrow import borrow
from stream.compiled.time_zones import time_zone, zone_table
from stream.contacts.contact_rules import DAY, WEEK

DAY_S = 86_400
NEVER_S = 2**40
_EPOCH_WEEKDAY = 3  # Thursday, from Monday on
_SPAN_BITS, _SPANS = 22, 1024  # as far as cells can count seconds

_inline = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


class Zones(NamedTuple):
    """Z time zones, one after the other; zone 0 is the one of the campaign.

    Attributes:
        start: First change of each zone. Shape (Z + 1,), int64.
        changes_s: When a zone changes its distance from UTC, epoch seconds. Shape (k,), int64.
        offset_s: Seconds east of UTC, of each zone one more than it has changes: the first counts
            before its first change. Shape (k + Z,), int64.
        hint: Of each zone for every 2**22 seconds, 48 days, its first change after they begin: it has
            two a year. Shape (Z * 1024,), int64.
        ids: Number that stands for each zone in rows, the same in every process. Shape (Z,), int64.
    """

    start: Int64s
    changes_s: Int64s
    offset_s: Int64s
    hint: Int64s
    ids: Int64s


def pack_zones(names: Sequence[str]) -> Zones:
    """The tables of some zones by their IANA names.

    Raises:
        ValueError: This machine knows none of a name.
    """
    tables = [zone_table(time_zone(name)) for name in names]
    ids = [int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) >> 1 or 1 for name in names]
    start = np.cumsum([0, *(len(table.utc_ms) for table in tables)]).astype(np.int64)
    begin_ms = 1000 * (np.arange(_SPANS) << _SPAN_BITS)
    hints = [np.searchsorted(table.utc_ms, begin_ms, side="right") for table in tables]
    return Zones(
        start,
        np.concatenate([table.utc_ms for table in tables]) // 1000,
        np.concatenate([table.offset_ms for table in tables]) // 1000,
        np.concatenate([first + hint for first, hint in zip(start, hints, strict=False)]),
        np.array(ids, np.int64),
    )


@_inline
def borrow_zones(zones: Zones) -> Zones:
    """The same, for use inside one kernel."""
    return Zones(
        borrow(zones.start), borrow(zones.changes_s), borrow(zones.offset_s), borrow(zones.hint),
        borrow(zones.ids),
    )  # fmt: skip


@_inline
def local_and_change(zones: Zones, zone: int, at_s: int) -> tuple[int, int]:
    """Local time as seconds after a local 1970, and when the zone changes next, `NEVER_S` for never."""
    span = min(max(at_s >> _SPAN_BITS, 0), _SPANS - 1)
    after, end = zones.hint[zone * _SPANS + span], zones.start[zone + 1]
    while after < end and zones.changes_s[after] <= at_s:
        after += 1
    change_s = zones.changes_s[after] if after < end else NEVER_S
    return at_s + zones.offset_s[after + zone], change_s


@_inline
def period_of(unit: int, local_s: int) -> int:
    """Number of the day, week or month of a local time."""
    day = local_s // DAY_S
    if unit == DAY:
        return int(day)
    if unit == WEEK:
        return int((day + _EPOCH_WEEKDAY) // 7)
    return _month_of(day)


@_inline
def start_of(unit: int, period: int) -> int:
    """Local time at which a day, week or month begins."""
    if unit == DAY:
        return period * DAY_S
    if unit == WEEK:
        return (period * 7 - _EPOCH_WEEKDAY) * DAY_S
    return _first_day(period) * DAY_S


@_inline
def first_in(zones: Zones, zone: int, unit: int, period: int, at_s: int) -> int:
    """The first second from `at_s` on that is in a period or a later one."""
    start_s = start_of(unit, period)
    while True:
        local_s, change_s = local_and_change(zones, zone, at_s)
        if local_s >= start_s:
            return at_s
        at_s = min(at_s + start_s - local_s, change_s)


@_inline
def is_quiet(from_s: int, until_s: int, local_s: int) -> bool:
    """Whether a local time is between two times of day, the second of which may be the next day."""
    of_day = local_s % DAY_S
    if from_s < until_s:
        return bool(from_s <= of_day < until_s)
    return bool(of_day >= from_s or of_day < until_s)


@_inline
def first_loud(zones: Zones, zone: int, from_s: int, until_s: int, at_s: int) -> int:
    """The first second from `at_s` on that is not quiet."""
    while True:
        local_s, change_s = local_and_change(zones, zone, at_s)
        if not is_quiet(from_s, until_s, local_s):
            return at_s
        at_s = min(at_s + (until_s - local_s) % DAY_S, change_s)


# Days to months and back: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms". Years begin
# in March, so that the leap day is the last.
@_inline
def _month_of(day: int) -> int:
    """Months after January 1970 of a day after 1 January 1970."""
    shifted = day + 719_468
    era = shifted // 146_097
    of_era = shifted - era * 146_097
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    from_march = (5 * of_year + 2) // 153
    return int(12 * (year + era * 400) + from_march + 2 - 12 * 1970)


@_inline
def _first_day(month: int) -> int:
    """The first day of a month, both as above."""
    from_march = month + 12 * 1970 - 2
    year, of_year = from_march // 12, from_march % 12
    era = year // 400
    of_era = year - era * 400
    day = of_era * 365 + of_era // 4 - of_era // 100 + (153 * of_year + 2) // 5
    return int(era * 146_097 + day - 719_468)
