"""Local days, weeks, months and hours in many time zones, in epoch seconds, for numba loops.

Rules of this file
1. What is asked for is the first second at which something holds, found by going from change to change
   of the zone: an hour that is left out, or there twice, and a midnight that does not exist, are
   not special cases.
"""

from __future__ import annotations

import numba

from stream.compiled.zone_set import Zones, local_and_change
from stream.contacts.contact_rules import DAY, WEEK

DAY_S = 86_400
_EPOCH_WEEKDAY = 3  # Thursday, from Monday on

_inline = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


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
