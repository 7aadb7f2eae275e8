"""Many time zones side by side for kernels; zones that events name join when they are first met.

Rules of this file
1. What stands for a zone in events is the hash of its IANA name, as of a category, and 0 for none.
2. A set only grows. Which index a zone has is nobody's business but that of one call.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from zoneinfo import available_timezones

import numba
import numpy as np

from stream.columns import Int64s, UInt64s
from stream.compiled.borrow import borrow
from stream.compiled.category_hash import category_hash
from stream.compiled.time_zones import time_zone, zone_table

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_inline = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


class Zones(NamedTuple):
    """Z time zones, one after the other.

    Attributes:
        first: First change of each zone. Shape (Z + 1,), int64.
        changes_ms: When a zone changes its distance from UTC, epoch milliseconds. Shape (k,), int64.
        offset_ms: Milliseconds east of UTC, of each zone one more than it has changes: the first counts
            before its first change. Shape (k + Z,), int64.
    """

    first: Int64s
    changes_ms: Int64s
    offset_ms: Int64s


@functools.cache
def zone_names() -> dict[int, str]:
    """The IANA names that this machine knows, by their hashes."""
    return {category_hash(name.encode()): name for name in (*available_timezones(), "UTC")}


@functools.cache
def known_zones() -> UInt64s:
    """The hashes of all names that this machine knows, rising. uint64."""
    return np.array(sorted(zone_names()), np.uint64)


@dataclass(frozen=True, slots=True)
class _Packed:
    """A set as it is at one time: hashes, rising, the zone of each, and the tables."""

    names: tuple[str, ...]
    hashes: UInt64s
    zone: Int64s
    zones: Zones


class ZoneSet:
    """Time zones that grow by those that events name; threads may share it.

    Args:
        names: The zones to begin with, at the indices from 0 on.

    Raises:
        ValueError: This machine knows none of a name.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._lock = threading.Lock()
        self._packed = _pack(tuple(names), {})

    def find(self, hashes: UInt64s) -> tuple[Int64s, Zones]:
        """The zones that events name.

        Args:
            hashes: Hashes of IANA names, 0 where none is named. Shape (n,), uint64.

        Returns:
            The index of each, -1 for none and for a name that this machine does not know, shape (n,),
            int64; and the zones.
        """
        out = np.empty(len(hashes), np.int64)
        packed = self._packed
        while True:
            met = _find(hashes, packed.hashes, packed.zone, out)
            if met < 0:
                return out, packed.zones
            packed = self._with(int(hashes[met]))

    @property
    def zones(self) -> Zones:
        """The zones as they are."""
        return self._packed.zones

    def _with(self, named: int) -> _Packed:
        with self._lock:
            packed = self._packed
            of = dict(zip(packed.hashes.tolist(), packed.zone.tolist(), strict=True))
            if named not in of:
                name = zone_names().get(named)
                of[named] = -1 if name is None else len(packed.names)
                names = packed.names if name is None else (*packed.names, name)
                self._packed = _pack(names, of)
            return self._packed


def _pack(names: tuple[str, ...], of: dict[int, int]) -> _Packed:
    tables = [zone_table(time_zone(name)) for name in names]
    empty = np.zeros(0, np.int64)
    zones = Zones(
        np.cumsum([0, *(len(table.utc_ms) for table in tables)]).astype(np.int64),
        np.concatenate([empty, *(table.utc_ms for table in tables)]),
        np.concatenate([empty, *(table.offset_ms for table in tables)]),
    )
    hashes = np.array(sorted(of), np.uint64)
    return _Packed(names, hashes, np.array([of[one] for one in hashes.tolist()], np.int64), zones)


@_jit
def _find(wanted: UInt64s, hashes: UInt64s, zone: Int64s, out: Int64s) -> int:
    """Fills the zone of each hash; the index of the first that is not there, -1 when all are."""
    for i in range(len(wanted)):
        if wanted[i] == 0:
            out[i] = -1
            continue
        at = np.searchsorted(hashes, wanted[i])
        if at == len(hashes) or hashes[at] != wanted[i]:
            return i
        out[i] = zone[at]
    return -1


@_inline
def borrow_zones(zones: Zones) -> Zones:
    """The same, for use inside one kernel: see `stream.compiled.borrow`."""
    return Zones(borrow(zones.first), borrow(zones.changes_ms), borrow(zones.offset_ms))


@_inline
def east_ms(zones: Zones, zone: int, time_ms: int) -> int:
    """Milliseconds east of UTC of a zone at a time."""
    low, high = zones.first[zone], zones.first[zone + 1]
    while low < high:
        middle = (low + high) >> 1
        if zones.changes_ms[middle] <= time_ms:
            low = middle + 1
        else:
            high = middle
    return int(zones.offset_ms[low + zone])
