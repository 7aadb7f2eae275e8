"""Quiet hours and local calendars in many zones against zoneinfo, second by second at the edges."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from random import Random
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.compiled.zone_set import local_and_change
from stream.contacts.contact_rules import DAY, MONTH, WEEK
from stream.contacts.hours.quiet_hours import (
    GO,
    HELD,
    PAST_EXPIRY,
    QUIET,
    compile_quiet_hours,
    hold,
)
from stream.contacts.local_time import first_in, period_of
from tests.stream.contacts.contacts_harness import PACKED, ZONES, campaign
from tests.stream.contacts.contacts_oracle import local, period
from tests.stream.contacts.test_contact_rules import STARTS_S

HOURS = (("21:00", "08:00"), ("00:00", "06:00"), ("12:30", "14:00"), ("22:15", "02:30"),
         ("01:30", "00:45"))  # fmt: skip
PERIODS = {"day": DAY, "week": WEEK, "month": MONTH}
HOUR_S = 3600


def is_quiet(zone: str, hours: tuple[str, str], at_s: int) -> bool:
    now = local(zone, at_s).time()
    begin, end = (time.fromisoformat(hour) for hour in hours)
    return begin <= now < end if begin < end else now >= begin or now < end


def at(zone: str, text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp())


moments = st.builds(
    lambda start_s, step_s, over_s: start_s + 60 * step_s + over_s,
    st.sampled_from(STARTS_S), st.integers(0, 3 * 1440), st.sampled_from((0, 1, 59)),
)  # fmt: skip


@given(moments, st.integers(0, len(ZONES) - 1), st.sampled_from(HOURS), st.booleans(),
       st.integers(0, 2**64 - 1), st.sampled_from(("15m", "20h")))  # fmt: skip
def test_what_is_held_goes_out_in_the_open_and_before_it_expires(
    at_s: int, zone: int, hours: tuple[str, str], holds: bool, spread: int, expires_after: str
) -> None:
    name, now_ms = ZONES[zone], 1000 * at_s + 250
    length_s = 900 if expires_after == "15m" else 20 * HOUR_S
    quiet = compile_quiet_hours(campaign(
        contacts={"time_zone": "UTC"}, decisions={"expires_after": expires_after},
        quiet_hours={"from": hours[0], "until": hours[1], "mode": "hold" if holds else "drop",
                     "release_spread": "45m"},
    ))  # fmt: skip

    def decide(now_ms: int) -> tuple[int, int, int]:
        found: tuple[int, int, int] = hold(
            quiet, PACKED, zone, now_ms, now_ms + 1000 * length_s, np.uint64(spread)
        )
        return found

    code, out_ms, retry_ms = decide(now_ms)
    if not is_quiet(name, hours, at_s):
        assert (code, out_ms, retry_ms) == (GO, now_ms, 0)
        return
    free_s = at_s
    while is_quiet(
        name, hours, free_s
    ):  # by the minute: hours, and changes of zones, are whole ones
        free_s += 60 - free_s % 60
    if not holds:
        assert (code, out_ms, retry_ms) == (QUIET, now_ms, 1000 * free_s)
    elif code == HELD:
        assert free_s <= out_ms // 1000 < free_s + 45 * 60
        assert not is_quiet(name, hours, out_ms // 1000)
        assert (out_ms < now_ms + 1000 * length_s, retry_ms) == (True, 0)
    else:
        assert (code, out_ms) == (PAST_EXPIRY, now_ms)
    if retry_ms:
        assert now_ms < retry_ms <= 1000 * free_s
        assert decide(retry_ms)[0] in (GO, HELD)
        assert retry_ms - 1000 < now_ms or decide(retry_ms - 1000)[0] == code


@pytest.mark.parametrize(
    ("now", "out"),
    [
        ("2026-03-28T23:00:00", "2026-03-29T03:00:00"),  # 02:30 is left out
        ("2026-10-24T23:00:00", "2026-10-25T02:30:00"),  # the first of the two
        ("2026-01-09T20:59:59", "2026-01-09T20:59:59"),
        ("2026-01-09T21:00:00", "2026-01-10T02:30:00"),
        ("2026-01-10T02:29:59", "2026-01-10T02:30:00"),
        ("2026-01-10T02:30:00", "2026-01-10T02:30:00"),
    ],
)
def test_the_edges_of_a_night(now: str, out: str) -> None:
    quiet = compile_quiet_hours(campaign(
        contacts={"time_zone": "UTC"},
        quiet_hours={"from": "21:00", "until": "02:30", "release_spread": "1s"},
    ))  # fmt: skip
    at_ms = 1000 * at(ZONES[0], now)
    _, out_ms, _ = hold(quiet, PACKED, 0, at_ms, at_ms + 86_400_000, np.uint64(7))
    assert out_ms == 1000 * at(ZONES[0], out)


def test_customers_are_spread_evenly() -> None:
    quiet = compile_quiet_hours(campaign(
        contacts={"time_zone": "UTC"}, decisions={"expires_after": "1d"},
        quiet_hours={"from": "21:00", "until": "08:00", "release_spread": "2h"},
    ))  # fmt: skip
    night_ms, some = 1000 * at(ZONES[0], "2026-01-09T23:00:00"), Random(1)
    out_s = [
        hold(quiet, PACKED, 0, night_ms, night_ms + 86_400_000, np.uint64(some.getrandbits(64)))[1]
        // 1000 - at(ZONES[0], "2026-01-10T08:00:00")
        for _ in range(4000)
    ]  # fmt: skip
    counts = np.bincount(np.array(out_s) // 600, minlength=12)
    assert (len(counts), int(counts.sum())) == (12, 4000)
    assert 250 < counts.min() <= counts.max() < 420


@given(moments, st.integers(0, len(ZONES) - 1), st.sampled_from(sorted(PERIODS)))
def test_calendar_windows_begin_when_the_calendar_says(at_s: int, zone: int, per: str) -> None:
    name, unit = ZONES[zone], PERIODS[per]
    number = period_of(unit, local_and_change(PACKED, zone, at_s)[0])
    first = period(per, name, at_s)
    begin_s = first_in(PACKED, zone, unit, number + 1, at_s)
    assert period(per, name, begin_s) > first
    assert period(per, name, begin_s - 1) <= first or begin_s == at_s
    assert period_of(unit, local_and_change(PACKED, zone, begin_s)[0]) == number + 1 or (
        name == "Pacific/Apia"  # which had no 30 December 2011
    )


def test_months_are_those_of_the_calendar() -> None:
    day = datetime(1970, 1, 1)  # noqa: DTZ001  # a date
    for n in range(0, 60_000, 7):
        now = day + timedelta(days=n)
        assert period_of(MONTH, 86_400 * n) == 12 * (now.year - 1970) + now.month - 1
        assert period_of(WEEK, 86_400 * n) == (n + 3) // 7
