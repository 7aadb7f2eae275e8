"""Event times: from JSON numbers and strings to epoch milliseconds.

Rules of this file
1. Fractions of a millisecond are dropped, towards the past.
2. The unit of an epoch is told by its size: below 1e11 seconds, below 1e14 milliseconds, below 1e17
   microseconds, from there nanoseconds. So each unit covers the years 1973 to 5138.
3. `clear_epoch_ms` and `clear_text_ms` run in numba and read the usual forms; what is UNCLEAR to them,
   `epoch_ms` and `text_ms` decide, and where both answer they answer the same.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import ROUND_FLOOR, Context, Decimal
from email.utils import parsedate_to_datetime

import numba
import numpy as np

from stream.columns import Bytes, Int64s
from stream.compiled.time_zones import FIRST_MS, LAST_MS, offset_at
from stream.events.json_tokens import MINUS, PLUS, POINT, ZERO, digits_end

UNCLEAR = int(np.iinfo(np.int64).min)
_INT64_MAX = int(np.iinfo(np.int64).max)

_SECONDS, _MILLIS, _MICROS, _NANOS = 10**11, 10**14, 10**17, 10**20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FLOOR = Context(prec=40, rounding=ROUND_FLOOR)
_DAY_MS = 86_400_000
_COLON, _COMMA, _T, _SMALL_T, _SPACE, _Z, _SMALL_Z, _U, _C, _G, _M = b":,Tt ZzUCGM"

# A space before an offset, or a name of UTC, is no ISO 8601, but what Ruby, Go and SQL write.
_UTC_SUFFIX = re.compile(r"(.{10,}[0-9]) ?(?:[zZ]|UTC|GMT)")
_SPACED_OFFSET = re.compile(r"(.{10,}[0-9]) ([+-][0-9]{2}(?::?[0-9]{2})?)")
# What Date of JavaScript, String of Go, ZonedDateTime of Java (RFC 9557) and the year before slashes
# look like; only where nothing has to be guessed: the offset or the order of the digits is there.
_JAVASCRIPT = re.compile(
    r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) ([0-9]{2}) ([0-9]{4}) ([0-9:]{8}) GMT([+-][0-9]{4})(?: \(.*\))?"
)
_GO = re.compile(r"(.{10,}[0-9]) ([+-][0-9]{4}) [A-Z+-][A-Z0-9+-]{0,4}(?: m=[+-][0-9.]+)?")
_JAVA = re.compile(r"(.{10,}(?:[zZ]|[+-][0-9]{2}:?[0-9]{2}))\[[A-Za-z0-9_+/-]+\]")
_SLASHES = re.compile(r"([0-9]{4})/([0-9]{2})/([0-9]{2})(.*)")
_RFC_2822 = re.compile(
    r"(?:[A-Z][a-z]{2}, )?[0-9]{1,2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}(?::[0-9]{2})? "
    r"(?:[+-][0-9]{4}|GMT|UTC|UT)"
)

_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


def epoch_ms(number: str) -> int:
    """Epoch milliseconds of a JSON number; beyond 1e20 (the year 5138) it counts as 1e20.

    Raises:
        ArithmeticError: The exponent is beyond what `decimal` holds.
    """
    value = max(min(Decimal(number), Decimal(_NANOS)), Decimal(-_NANOS))
    if abs(value) < _SECONDS:
        ms_per_unit = Decimal(1000)
    elif abs(value) < _MILLIS:
        ms_per_unit = Decimal(1)
    else:
        ms_per_unit = Decimal("1e-3") if abs(value) < _MICROS else Decimal("1e-6")
    return int(_FLOOR.multiply(value, ms_per_unit).to_integral_value(ROUND_FLOOR))


def text_ms(text: str, zone: tzinfo = UTC) -> int:
    """Epoch milliseconds of a date, or a date and time, by ISO 8601 or RFC 2822.

    Beside ISO 8601 a space may stand before the zone, and the zone may be z, UTC or GMT; also read is
    what JavaScript, Go and Java print, and a year before slashes.

    Args:
        text: What was said.
        zone: Of a time that says none.

    Raises:
        ValueError: It is neither, or no such moment exists.
    """
    text = _respelled(text)
    if _RFC_2822.fullmatch(text):
        moment = parsedate_to_datetime(text)
        zone = UTC  # -0000 says that it is UTC
    else:
        utc = _UTC_SUFFIX.fullmatch(text)
        spaced = _SPACED_OFFSET.fullmatch(text)
        moment = datetime.fromisoformat(
            f"{utc[1]}Z" if utc else f"{spaced[1]}{spaced[2]}" if spaced else text
        )
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _respelled(text: str) -> str:
    """The same time as ISO 8601 or RFC 2822 has it, for those that are neither."""
    if found := _JAVASCRIPT.fullmatch(text):
        month, day, year, of_day, offset = found.groups()
        return f"{day} {month} {year} {of_day} {offset}"
    if found := _GO.fullmatch(text):
        return f"{found[1]}{found[2]}"
    if found := _JAVA.fullmatch(text):
        return found[1]
    if found := _SLASHES.fullmatch(text):
        return f"{found[1]}-{found[2]}-{found[3]}{found[4]}"
    return text


@_inlined
def clear_epoch_ms(data: Bytes, at: int, stop: int) -> int:
    """Epoch milliseconds of digits with or without a fraction, else UNCLEAR."""
    end = digits_end(data, at, stop)
    if end == at or end - at > 19 or (data[at] == ZERO and end > at + 1):
        return UNCLEAR
    value = 0
    for k in range(at, end):
        digit = data[k] - ZERO
        if value > _INT64_MAX // 10 or (value == _INT64_MAX // 10 and digit > _INT64_MAX % 10):
            return UNCLEAR  # told before the product: compiled code takes it that it does not wrap
        value = value * 10 + digit
    fraction_ms = 0
    if end < stop:
        fraction_ms = _fraction_ms(data, end, stop)
        if fraction_ms < 0:
            return UNCLEAR
    if value < _SECONDS:
        return value * 1000 + fraction_ms
    if value < _MILLIS:
        return value
    return value // 1000 if value < _MICROS else value // 1_000_000


@_inlined
def clear_integer(data: Bytes, at: int, stop: int) -> int:
    """The whole number of at most 18 digits that is data[at:stop], else UNCLEAR."""
    is_negative = at < stop and data[at] == MINUS
    first = at + is_negative
    if first == stop or stop - first > 18 or digits_end(data, first, stop) != stop:
        return UNCLEAR
    value = 0
    for k in range(first, stop):
        value = value * 10 + (data[k] - ZERO)
    return -value if is_negative else value


@_inlined
def clear_text_ms(data: Bytes, at: int, stop: int, local_ms: Int64s, zone_offset_ms: Int64s) -> int:
    """Epoch milliseconds of the usual forms of ISO 8601, else UNCLEAR.

    These are YYYY-MM-DD and YYYY-MM-DDTHH:MM[:SS[.fraction]][zone], also with a space or t for the T, a
    comma for the point, without dashes, and without colons. The zone is Z, z, UTC, GMT, ±HH:MM, ±HHMM
    or ±HH, with or without a space before it; without one the two arrays say what local times are
    there: `local_ms` and `offset_ms` of a `ZoneTable`.
    """
    if stop - at < 10:
        return UNCLEAR
    dashes = int(data[at + 4] == MINUS)
    month_at = at + 4 + dashes
    day_at = month_at + 2 + dashes
    century, year_of_century = _two_digits(data, at), _two_digits(data, at + 2)
    month, day = _two_digits(data, month_at), _two_digits(data, day_at)
    year = century * 100 + year_of_century
    is_date = century >= 0 and year_of_century >= 0 and _is_day(year, month, day)
    if not is_date or (dashes and data[at + 7] != MINUS):
        return UNCLEAR
    time_ms = _days(year, month, day) * _DAY_MS
    at = day_at + 2
    if at < stop:
        at, of_day_ms = _time_of_day(data, at, stop)
        if at < 0:
            return UNCLEAR
        time_ms += of_day_ms
    if at < stop:
        east_ms = _zone_ms(data, at, stop)
        return time_ms - east_ms if east_ms != UNCLEAR else UNCLEAR
    return _of_zone_ms(time_ms, local_ms, zone_offset_ms)


@_inlined
def _of_zone_ms(time_ms: int, local_ms: Int64s, offset_ms: Int64s) -> int:
    """Epoch milliseconds of a local time, UNCLEAR outside of the table of its zone."""
    if len(local_ms) and (time_ms < FIRST_MS + _DAY_MS or time_ms > LAST_MS - _DAY_MS):
        return UNCLEAR
    return time_ms - offset_at(local_ms, offset_ms, time_ms)


@_inlined
def _time_of_day(data: Bytes, at: int, stop: int) -> tuple[int, int]:
    """(position after it, milliseconds) of THH:MM[:SS[.fraction]] or THHMM[SS[.fraction]]; -1 for neither."""
    separator = data[at]
    if stop - at < 5 or (separator != _T and separator != _SPACE and separator != _SMALL_T):
        return -1, 0
    colons = int(data[at + 3] == _COLON)
    hour = _two_digits(data, at + 1)
    at += 3 + colons
    if at + 2 > stop:
        return -1, 0
    minute, second, fraction_ms = _two_digits(data, at), 0, 0
    at += 2
    more = data[at] if at < stop else _SPACE
    if (more == _COLON and colons) or (not colons and more >= ZERO and more <= ZERO + 9):
        at += colons
        if at + 2 > stop:
            return -1, 0
        second = _two_digits(data, at)
        at += 2
        if at < stop and (data[at] == POINT or data[at] == _COMMA):
            begin = at
            at = digits_end(data, at + 1, stop)
            fraction_ms = _digits_ms(data, begin + 1, at)
    if not (_below(hour, 24) and _below(minute, 60) and _below(second, 60)) or fraction_ms < 0:
        return -1, 0
    return at, ((hour * 60 + minute) * 60 + second) * 1000 + fraction_ms


@_inlined
def _zone_ms(data: Bytes, at: int, stop: int) -> int:
    """Milliseconds east of UTC of the zone data[at:stop], else UNCLEAR."""
    at += data[at] == _SPACE
    size = stop - at
    if size == 1:
        return 0 if data[at] == _Z or data[at] == _SMALL_Z else UNCLEAR
    if size < 3:
        return UNCLEAR
    sign = data[at]
    if sign != PLUS and sign != MINUS:
        is_utc = sign == _U and data[at + 1] == _T and data[at + 2] == _C
        is_gmt = sign == _G and data[at + 1] == _M and data[at + 2] == _T
        return 0 if size == 3 and (is_utc or is_gmt) else UNCLEAR
    hours, minutes = _two_digits(data, at + 1), 0
    if size == 6 and data[at + 3] == _COLON:
        minutes = _two_digits(data, at + 4)
    elif size == 5:
        minutes = _two_digits(data, at + 3)
    elif size != 3:
        return UNCLEAR
    if not (_below(hours, 24) and _below(minutes, 60)):
        return UNCLEAR
    east_ms = (hours * 60 + minutes) * 60_000
    return east_ms if sign == PLUS else -east_ms


@_inlined
def _fraction_ms(data: Bytes, at: int, stop: int) -> int:
    """Milliseconds of the decimal point and digits that are data[at:stop], -1 if they are not."""
    if data[at] != POINT or digits_end(data, at + 1, stop) != stop:
        return -1
    return _digits_ms(data, at + 1, stop)


@_inlined
def _digits_ms(data: Bytes, at: int, stop: int) -> int:
    """Milliseconds of the digits of a fraction of a second, -1 for none."""
    if at == stop:
        return -1
    value = 0
    for k in range(at, at + 3):
        value = value * 10 + (data[k] - ZERO if k < stop else 0)
    return value


@_inlined
def _two_digits(data: Bytes, at: int) -> int:
    """The number that two digits are, -1 if they are not."""
    tens, units = int(data[at]) - ZERO, int(data[at + 1]) - ZERO
    return tens * 10 + units if _below(tens, 10) and _below(units, 10) else -1


@_inlined
def _below(value: int, limit: int) -> bool:
    return value >= 0 and value < limit


@_inlined
def _is_day(year: int, month: int, day: int) -> bool:
    """Whether the Gregorian calendar has it, in the years 1 to 9999."""
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    short = month in (4, 6, 9, 11)
    length = (29 if leap else 28) if month == 2 else 30 if short else 31
    return year > 0 and month > 0 and month < 13 and day > 0 and day <= length


@_inlined
def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01; counts years from March, so that a leap day comes last."""
    year -= month < 3
    month_from_march = (month + 9) % 12
    day_of_year = (153 * month_from_march + 2) // 5 + day - 1
    return year * 365 + year // 4 - year // 100 + year // 400 + day_of_year - 719468
