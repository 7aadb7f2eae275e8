"""Time zones as sorted arrays, so that kernels know daylight saving as `zoneinfo` does.

Rules of this file
1. A table holds the years 1970 to 2099. Outside, whoever asks has to ask `zoneinfo` itself.
2. A local time that is there twice is the first of the two, one that is left out counts as before
   the change: what `datetime` does with fold = 0.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numba
import numpy as np

from stream.columns import Int64s

FIRST_MS, LAST_MS = 0, 4_102_444_800_000
_DAY_S = 86_400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ZoneTable(NamedTuple):
    """One time zone; k changes of its distance from UTC.

    Attributes:
        utc_ms: When it changes, epoch milliseconds, rising. Shape (k,), int64.
        local_ms: The local times from which the new distance counts, rising. Shape (k,), int64.
        offset_ms: Milliseconds east of UTC before the first change and after each.
            Shape (k + 1,), int64.
    """

    utc_ms: Int64s
    local_ms: Int64s
    offset_ms: Int64s


def time_zone(name: str) -> tzinfo:
    """A time zone by its IANA name.

    Raises:
        ValueError: This machine knows none of that name.
    """
    if name == "UTC":  # without asking for a database, which small containers lack
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, KeyError, ValueError) as exc:
        raise ValueError(
            f'expected the IANA name of a time zone, such as "Europe/Berlin", got {name!r}; zones '
            "come from the system or from the package tzdata"
        ) from exc


@functools.cache
def zone_table(zone: tzinfo) -> ZoneTable:
    """The table of a time zone."""
    if zone is UTC:
        none = np.zeros(0, np.int64)
        return ZoneTable(*map(_read_only, (none, none.copy(), np.zeros(1, np.int64))))
    offset_s = _offset_s(zone, FIRST_MS // 1000)
    changes: list[tuple[int, int, int]] = []
    for day_s in range(FIRST_MS // 1000 + _DAY_S, LAST_MS // 1000 + 1, _DAY_S):
        next_s = _offset_s(zone, day_s)
        if next_s != offset_s:
            changes.append((_change_s(zone, day_s - _DAY_S, day_s), offset_s, next_s))
            offset_s = next_s
    first_s = changes[0][1] if changes else offset_s
    utc_s = np.array([at for at, _, _ in changes], np.int64)
    local_s = np.array([at + max(before, after) for at, before, after in changes], np.int64)
    offsets_s = np.array([first_s, *(after for _, _, after in changes)], np.int64)
    return ZoneTable(*(_read_only(1000 * column) for column in (utc_s, local_s, offsets_s)))


def _offset_s(zone: tzinfo, at_s: int) -> int:
    offset = (_EPOCH + timedelta(seconds=at_s)).astimezone(zone).utcoffset()
    assert offset is not None, zone
    return round(offset.total_seconds())


def _change_s(zone: tzinfo, low_s: int, high_s: int) -> int:
    """The second at which the offset changes between two of different offsets."""
    before = _offset_s(zone, low_s)
    while high_s - low_s > 1:
        middle_s = (low_s + high_s) // 2
        if _offset_s(zone, middle_s) == before:
            low_s = middle_s
        else:
            high_s = middle_s
    return high_s


def _read_only(column: Int64s) -> Int64s:
    column.flags.writeable = False
    return column


@numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def offset_at(changes_ms: Int64s, offset_ms: Int64s, time_ms: int) -> int:
    """Milliseconds east of UTC at a time, by the changes in the same kind of time, local or UTC."""
    low, high = 0, len(changes_ms)
    while low < high:
        middle = (low + high) >> 1
        if changes_ms[middle] <= time_ms:
            low = middle + 1
        else:
            high = middle
    return int(offset_ms[low])
