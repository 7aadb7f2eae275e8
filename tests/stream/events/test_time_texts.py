"""Times as text: every spelling that the kernel reads, in every zone, against datetime and zoneinfo."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import numba
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream.campaign.file import EventMapping
from stream.columns import Bytes, Int64s
from stream.compiled.time_zones import offset_at, time_zone, zone_table
from stream.errors import CampaignError
from stream.events.decoder import EventDecoder
from stream.events.times.timestamps import UNCLEAR, clear_text_ms, text_ms

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu",
         "Africa/Casablanca", "America/Sao_Paulo"]  # fmt: skip


@numba.njit()
def _clear_ms(data: Bytes, local_ms: Int64s, offset_ms: Int64s) -> int:
    return clear_text_ms(data, 0, len(data), local_ms, offset_ms)


@numba.njit()
def _offset_at(changes_ms: Int64s, offset_ms: Int64s, time_ms: int) -> int:
    return offset_at(changes_ms, offset_ms, time_ms)


def clear_ms(data: Bytes, zone: str = "UTC") -> int:
    table = zone_table(time_zone(zone))
    return int(_clear_ms(data, table.local_ms, table.offset_ms))


def array(text: str) -> Bytes:
    return np.frombuffer(text.encode(), np.uint8)


def exact_ms(moment: datetime, zone: tzinfo) -> int:
    return (moment.replace(tzinfo=zone) - EPOCH) // timedelta(milliseconds=1)


@given(
    st.datetimes(),
    st.none() | st.integers(-1439, 1439),
    st.sampled_from("T "),
    st.integers(0, 9),
)
@settings(max_examples=300)
@example(datetime.fromisoformat("2000-02-29"), 0, "T", 3)
@example(datetime.fromisoformat("1900-02-28T23:59:59.999999"), 1439, " ", 6)
@example(datetime.fromisoformat("0001-01-01"), 1439, "T", 0)
def test_iso_times(moment: datetime, offset: int | None, separator: str, digits: int) -> None:
    text = moment.strftime(f"{moment.year:04d}-%m-%d{separator}%H:%M:%S")
    fraction = f"{moment.microsecond:06d}000"[:digits]
    text += f".{fraction}" if fraction else ""
    zone = timezone(timedelta(minutes=offset or 0))
    sign = "-" if (offset or 0) < 0 else "+"
    text += "Z" if offset is None else f"{sign}{abs(offset) // 60:02d}:{abs(offset) % 60:02d}"
    kept = int(f"{fraction}000000"[:6])
    exact = moment.replace(microsecond=kept, tzinfo=zone) - EPOCH
    assert clear_ms(array(text)) == text_ms(text) == exact // timedelta(milliseconds=1)


ISO = "2024-02-29T23:59:59.123+05:30"


@given(st.integers(0, len(ISO) - 1), st.sampled_from("0123456789-+:.TZ ,x/"), st.booleans())
@settings(max_examples=400)
def test_a_time_that_is_clear_is_the_one_that_python_reads(at: int, by: str, cut: bool) -> None:
    text = ISO[:at] + by + ("" if cut else ISO[at + 1 :])
    clear = clear_ms(array(text))
    if clear != UNCLEAR:
        assert clear == text_ms(text)


@pytest.mark.parametrize(
    "text",
    [
        "2023-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2024-04-31T00:00:00Z",
        "2024-13-01T00:00:00Z", "2024-00-01T00:00:00Z", "2024-01-00T00:00:00Z",
        "0000-01-01T00:00:00Z", "2024-01-01T24:00:01Z", "2024-01-01T00:60:00Z",
        "2024-01-01T00:00:60Z", "2024-01-01T00:00:00+24:00", "2024-01-01T00:00:00x",
        "2024-01-01T", "2024-01-01T00:", "2024-01-01T00:0", "2024-01-01T00:00:", "2024-01-01 UTC",
        "2024-01-01T00:00:00.", "2024-01-01T00:00:00+", "2024-01-01T00:00:00 ", "20240101T00:0000Z",
        "2024-01-01T00:00:00  Z", "2024-01-01T00:00:00 EST", "2024-01-01T00:00:00+1", "2024-0101",
        "2024-01-01 -0500", "202401-01T00:00:00Z",
    ],
)  # fmt: skip
def test_moments_that_do_not_exist(text: str) -> None:
    assert clear_ms(array(text)) == UNCLEAR
    with pytest.raises(ValueError):
        text_ms(text)


NOW_MS = 1_760_000_000_000
SPELLINGS = {
    "2025-10-09T08:53:20": 0, "2025-10-09 08:53:20": 0, "2025-10-09t08:53:20z": 0,
    "2025-10-09T08:53:20,250Z": 250, "2025-10-09T08:53:20.2509999": 250, "2025-10-09T08:53Z": -20_000,
    "2025-10-09T08:53": -20_000, "2025-10-09": -32_000_000, "20251009T085320Z": 0,
    "20251009T085320": 0, "20251009 0853": -20_000, "20251009T085320,5+0200": 500 - 7_200_000,
    "2025-10-09T10:53:20+0200": 0, "2025-10-09T10:53:20+02": 0, "2025-10-09 10:53:20 +02:00": 0,
    "2025-10-09 10:53:20 +0200": 0, "2025-10-09 08:53:20 UTC": 0, "2025-10-09 08:53:20.250 GMT": 250,
    "2025-10-09 08:53:20 Z": 0, "2025-10-09T03:53:20-05": 0, "2025-10-09T10:53+02": -20_000,
    "2025-10-09T08:53:20-00:00": 0,
}  # fmt: skip


PRINTED = {
    "Thu Oct 09 2025 10:53:20 GMT+0200 (Central European Summer Time)": 0,
    "Thu Oct 09 2025 08:53:20 GMT+0000": 0,
    "2025-10-09 10:53:20.25 +0200 CEST": 250, "2025-10-09 08:53:20 +0000 UTC": 0,
    "2025-10-09 08:53:20.25 +0000 UTC m=+0.000017": 250, "2025-10-09 05:53:20 -0300 -03": 0,
    "2025-10-09T10:53:20.25+02:00[Europe/Berlin]": 250, "2025-10-09T08:53:20Z[UTC]": 0,
    "2025/10/09 08:53:20": 0, "2025/10/09T10:53:20+02:00": 0, "2025/10/09": -32_000_000,
}  # fmt: skip


@pytest.mark.parametrize(("text", "after_ms"), PRINTED.items())
def test_what_languages_print(text: str, after_ms: int) -> None:
    assert clear_ms(array(text)) == UNCLEAR
    assert text_ms(text) == NOW_MS + after_ms


@pytest.mark.parametrize(
    "text",
    [
        "09/10/2025 08:53", "10/09/2025", "09.10.2025 08:53", "Oct 9, 2025, 8:53:20 AM",
        "2025-10-09 8:53:20 AM", "2025-10-09T08:53:20[Europe/Berlin]", "2025/13/09", "Thu Oct 39 2025 10:53:20 GMT+0200",
        "Thu Oct 09 2025 25:53:20 GMT+0200", "2025-10-09 08:53:20 CEST", "Thu Oct 9 08:53:20 2025", "now",
    ],
)  # fmt: skip
def test_nothing_is_guessed_of_a_time(text: str) -> None:
    assert clear_ms(array(text)) == UNCLEAR
    with pytest.raises(ValueError):
        text_ms(text)


@pytest.mark.parametrize(("text", "after_ms"), SPELLINGS.items())
def test_spellings_that_cost_nothing_more(text: str, after_ms: int) -> None:
    assert clear_ms(array(text)) == text_ms(text) == NOW_MS + after_ms


@pytest.mark.parametrize(
    "text",
    [
        "Thu, 09 Oct 2025 08:53:20 GMT", "Thu, 09 Oct 2025 10:53:20 +0200", "9 Oct 2025 08:53:20 UT",
        "9 Oct 2025 08:53:20 -0000", "2025-W41-4T08:53:20Z", "2025-10-09T10:53:20+02:00:00",
    ],
)  # fmt: skip
def test_spellings_that_only_the_plain_decoder_reads(text: str) -> None:
    assert clear_ms(array(text)) == UNCLEAR
    assert text_ms(text, ZoneInfo("Asia/Kathmandu")) == NOW_MS


@pytest.mark.parametrize(
    "text",
    ["yesterday", "1 2 3", "09/10/2025", "Oct 9, 2025", "Thu, 99 Oct 2025 08:53:20 GMT",
     "Thu, 09 Foo 2025 08:53:20 GMT", "9 Oct 25 08:53:20 GMT"],
)  # fmt: skip
def test_what_would_have_to_be_guessed_is_no_time(text: str) -> None:
    assert clear_ms(array(text)) == UNCLEAR
    with pytest.raises(ValueError):
        text_ms(text)


CHANGES = [
    ("Europe/Berlin", "2025-03-30T01:59:59", 1), ("Europe/Berlin", "2025-03-30T02:30:00", 1),
    ("Europe/Berlin", "2025-03-30T03:00:00", 2), ("Europe/Berlin", "2025-10-26T02:59:59", 2),
    ("Europe/Berlin", "2025-10-26T03:00:00", 1), ("America/New_York", "2025-11-02T01:30:00", -4),
    ("Australia/Lord_Howe", "2025-04-06T01:45:00", 11), ("Australia/Lord_Howe", "2025-04-06T02:00:00", 10.5),
    ("Europe/Berlin", "2098-07-01T00:00:00", 2),
]  # fmt: skip


@pytest.mark.parametrize(("zone", "text", "hours"), CHANGES)
def test_daylight_saving(zone: str, text: str, hours: float) -> None:
    east_ms = round(hours * 3_600_000)
    assert clear_ms(array(text), zone) == text_ms(text) - east_ms
    assert text_ms(text, ZoneInfo(zone)) == text_ms(text) - east_ms


ZONED = st.sampled_from(ZONES)


@st.composite
def near_changes(draw: st.DrawFn) -> tuple[str, datetime]:
    """A zone, and a local time in it, often within two hours of a change."""
    zone = draw(ZONED)
    changes = zone_table(time_zone(zone)).local_ms
    moment = draw(st.datetimes(datetime(1969, 1, 1), datetime(2101, 1, 1)))  # noqa: DTZ001
    if len(changes) and draw(st.booleans()):
        at_ms = int(changes[draw(st.integers(0, len(changes) - 1))])
        near_ms = at_ms + draw(st.integers(-7_200_000, 7_200_000))
        moment = (EPOCH + timedelta(milliseconds=near_ms)).replace(tzinfo=None)
    return zone, moment


@given(
    near_changes(),
    st.booleans(),
    st.sampled_from("Tt "),
    st.sampled_from(["", "%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%H:%M:%S,%f", "%H%M", "%H%M%S"]),
    st.sampled_from(["", "", "Z", "z", " UTC", "GMT", "+0530", " -08", "+01:00", " +01:00"]),
)
@settings(max_examples=1000)
def test_every_spelling_in_every_zone_is_what_datetime_says(
    place: tuple[str, datetime], dashes: bool, separator: str, clock: str, suffix: str
) -> None:
    zone, moment = place
    day = moment.strftime("%Y-%m-%d" if dashes or not clock else "%Y%m%d")
    text = day + separator + moment.strftime(clock) + suffix if clock else day
    expected = text_ms(text, time_zone(zone))
    clear = clear_ms(array(text), zone)
    says_zone = bool(suffix and clock)
    assert clear == expected or (
        clear == UNCLEAR and not says_zone and not 1971 <= moment.year <= 2098
    )
    if not suffix and clock.endswith("%f"):
        kept = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
        assert expected == exact_ms(kept, time_zone(zone))


@given(near_changes())
@settings(max_examples=500)
def test_a_table_says_what_zoneinfo_says_of_every_moment(place: tuple[str, datetime]) -> None:
    zone, moment = place
    if not 1970 <= moment.year <= 2099:
        return
    table = zone_table(time_zone(zone))
    time_ms = exact_ms(moment, UTC)
    offset = moment.replace(tzinfo=UTC).astimezone(time_zone(zone)).utcoffset()
    found_ms = _offset_at(table.utc_ms, table.offset_ms, time_ms)
    assert timedelta(milliseconds=found_ms) == offset


def test_a_time_zone_that_nobody_knows_is_refused() -> None:
    with pytest.raises(
        CampaignError, match=r'events\.time_zone: .*"Europe/Berlin", got \'Mars/Base'
    ):
        EventDecoder(EventMapping(time_zone="Mars/Base"), (), (), ())
