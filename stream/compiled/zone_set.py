"""Many time zones side by side for kernels, of features and of contacts alike; zones that events name join when they are first met.

Rules of this file
1. What stands for a zone in events is the hash of its IANA name, as of a category, and 0 for none.
2. A set only grows. Which index a zone has is nobody's business but that of one call.
"""

from __future__ import annotations

import functools
import hashlib
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


NEVER_S = 2**40
_SPAN_BITS, _SPANS = 22, 1024  # to the year 2106


class Zones(NamedTuple):
    """Z time zones, one after the other; they change at whole seconds.

    Attributes:
        first: First change of each zone. Shape (Z + 1,), int64.
        changes_s: When a zone changes its distance from UTC, epoch seconds. Shape (k,), int64.
        offset_s: Seconds east of UTC, of each zone one more than it has changes: the first counts
            before its first change. Shape (k + Z,), int64.
        hint: Of each zone for every 2**22 seconds, 48 days, its first change after they begin: it has
            two a year. Shape (Z * 1024,), int64.
        ids: Number that stands for each zone where one is kept, the same in every process.
            Shape (Z,), int64.
    """

    first: Int64s
    changes_s: Int64s
    offset_s: Int64s
    hint: Int64s
    ids: Int64s


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
    hashes = np.array(sorted(of), np.uint64)
    zone = np.array([of[one] for one in hashes.tolist()], np.int64)
    return _Packed(names, hashes, zone, pack_zones(names))


def pack_zones(names: Sequence[str]) -> Zones:
    """The tables of some zones, at least one, by their IANA names.

    Raises:
        ValueError: This machine knows none of a name.
    """
    tables = [zone_table(time_zone(name)) for name in names]
    ids = [int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) >> 1 or 1 for name in names]
    first = np.cumsum([0, *(len(table.utc_ms) for table in tables)]).astype(np.int64)
    begin_ms = 1000 * (np.arange(_SPANS) << _SPAN_BITS)
    hints = [np.searchsorted(table.utc_ms, begin_ms, side="right") for table in tables]
    return Zones(
        first,
        np.concatenate([table.utc_ms for table in tables]) // 1000,
        np.concatenate([table.offset_ms for table in tables]) // 1000,
        np.concatenate([begin + hint for begin, hint in zip(first, hints, strict=False)]),
        np.array(ids, np.int64),
    )


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
    return Zones(
        borrow(zones.first), borrow(zones.changes_s), borrow(zones.offset_s), borrow(zones.hint),
        borrow(zones.ids),
    )  # fmt: skip


@_inline
def local_and_change(zones: Zones, zone: int, at_s: int) -> tuple[int, int]:
    """Local time as seconds after a local 1970, and when the zone changes next, `NEVER_S` for never."""
    span = min(max(at_s >> _SPAN_BITS, 0), _SPANS - 1)
    after, end = zones.hint[zone * _SPANS + span], zones.first[zone + 1]
    while after < end and zones.changes_s[after] <= at_s:
        after += 1
    change_s = zones.changes_s[after] if after < end else NEVER_S
    return at_s + zones.offset_s[after + zone], change_s


@_inline
def east_ms(zones: Zones, zone: int, time_ms: int) -> int:
    """Milliseconds east of UTC of a zone at a time."""
    at_s = time_ms // 1000
    local_s, _ = local_and_change(zones, zone, at_s)
    return int(1000 * (local_s - at_s))
