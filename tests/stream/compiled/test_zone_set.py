"""Many time zones side by side say what `zoneinfo` says, whenever each of them was met."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.compiled.category_hash import category_hash
from stream.compiled.time_zones import time_zone, zone_table
from stream.compiled.zone_set import (
    NEVER_S,
    Zones,
    ZoneSet,
    east_ms,
    known_zones,
    local_and_change,
    pack_zones,
    zone_names,
)

NAMES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Apia",
         "Africa/Casablanca", "Australia/Lord_Howe")  # fmt: skip
SET = ZoneSet(("UTC", "Europe/Berlin"))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@numba.njit()
def _east_ms(zones: Zones, zone: int, time_ms: int) -> int:
    return east_ms(zones, zone, time_ms)


@numba.njit()
def _local_and_change(zones: Zones, zone: int, at_s: int) -> tuple[int, int]:
    return local_and_change(zones, zone, at_s)


def offset_ms(name: str, time_ms: int) -> float:
    moment = (EPOCH + timedelta(milliseconds=time_ms)).astimezone(ZoneInfo(name))
    found = moment.utcoffset()
    assert found is not None
    return found / timedelta(milliseconds=1)


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, int]:
    name = draw(st.sampled_from(NAMES))
    changes = zone_table(time_zone(name)).utc_ms.tolist() or [0]
    near = st.sampled_from(changes).flatmap(lambda at: st.integers(at - 2, at + 2))
    return name, draw(near | st.integers(0, 4_102_444_799_999))


@given(st.lists(moments(), min_size=1, max_size=5))
def test_it_says_what_zoneinfo_says(wanted: list[tuple[str, int]]) -> None:
    hashes = np.array([category_hash(name.encode()) for name, _ in wanted], np.uint64)
    zone, zones = SET.find(hashes)
    for k, (name, time_ms) in enumerate(wanted):
        assert _east_ms(zones, zone[k], time_ms) == offset_ms(name, time_ms), (name, time_ms)


@given(st.lists(moments(), min_size=1, max_size=5), st.floats(0, 1))
def test_contacts_and_features_ask_the_same_table(
    wanted: list[tuple[str, int]], between: float
) -> None:
    zones = pack_zones(NAMES)
    for name, time_ms in wanted:
        zone, at_s = NAMES.index(name), time_ms // 1000
        local_s, change_s = _local_and_change(zones, zone, at_s)
        assert 1000 * (local_s - at_s) == offset_ms(name, time_ms) == _east_ms(zones, zone, time_ms)
        assert change_s > at_s
        last_s = (4_102_444_800 if change_s == NEVER_S else change_s) - 1
        for inside_s in (last_s, at_s + int(between * (last_s - at_s))):
            assert offset_ms(name, 1000 * inside_s) == offset_ms(name, time_ms), inside_s
        if change_s != NEVER_S:
            assert offset_ms(name, 1000 * change_s) != offset_ms(name, time_ms)


def test_no_zone_and_a_name_that_nobody_knows_have_none() -> None:
    zone, _ = SET.find(np.array([0, category_hash(b"Mars/Base"), 0], np.uint64))
    assert zone.tolist() == [-1, -1, -1]
    assert _east_ms(SET.zones, 1, 0) == 3_600_000


def test_what_this_machine_knows() -> None:
    assert set(zone_names().values()) == available_timezones() | {"UTC"}
    assert len(zone_names()) == len(set(zone_names().values()))
    assert known_zones().tolist() == sorted(zone_names())
    with pytest.raises(ValueError, match="expected the IANA name"):
        ZoneSet(("Mars/Base",))
